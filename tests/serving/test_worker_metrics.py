"""One page for several workers, whoever answers: real processes that count, die and are replaced."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.worker_metrics import FOLDER_VARIABLE, forget_worker, worker_environment
from tests.conftest import ROOT
from tests.serving.test_metrics import FROM_THE_START, Page, names, read

DEADLINE_S = 60
WORKER = """
import json, sys
from serving.metrics import Metrics
metrics = Metrics()
for line in sys.stdin:
    print(json.dumps(eval(line)), flush=True)
"""


class Worker:
    """A process with metrics, which does what it is told."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | variables,
        )
        self.do("None")  # it has begun

    def do(self, *expressions: str) -> object:
        """Return what the last of the expressions gives."""
        answer = None
        for expression in expressions:
            self.process.stdin.write(expression + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
        return answer

    def page(self) -> Page:
        return read(str(self.do("metrics.expose().decode()")).encode())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_S)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    workers = []

    def start(number: int | None) -> Worker:
        variables = {FOLDER_VARIABLE: str(tmp_path)} if number is None else worker_environment(tmp_path, number)
        workers.append(Worker(variables))
        return workers[-1]

    yield start
    for worker in workers:
        if not worker.process.stdout.closed:
            worker.kill()


def of_workers(page: Page, name: str) -> dict[str, float]:
    return {key[1][1]: value for key, value in page.items() if key[0] == name and key[1][0] == "worker"}


def test_whoever_is_asked_tells_of_all(start):
    first, second = start(0), start(1)
    first.do('metrics.answered("/predict", 200, 0.002)', "metrics.in_flight.set(2)", "metrics.queued(3)")
    second.do('metrics.answered("/predict", 200, 0.2)', 'metrics.answered("/predict", 503, 0.001)')
    second.do("metrics.in_flight.set(5)", "metrics.golden(is_right=False)")
    for worker in (first, second):
        worker.do('metrics.loaded(name="fashion", version="3", digest="abc", classes=["bag", "coat"])')
        worker.do('metrics.predicted(["bag"], [0.9])')
    pages = [worker.page() for worker in (first, second)]
    for page in pages:
        assert names(page) >= FROM_THE_START
        assert page["evergreen_requests_total", ("code", "200"), ("route", "/predict")] == 2
        assert page["evergreen_requests_total", ("code", "503"), ("route", "/predict")] == 1
        assert page["evergreen_request_seconds_count", ("route", "/predict")] == 3
        assert page["evergreen_request_seconds_bucket", ("le", "0.0025"), ("route", "/predict")] == 2
        assert page["evergreen_request_seconds_sum", ("route", "/predict")] == pytest.approx(0.203)
        assert page["evergreen_requests_in_flight",] == 7
        assert page["evergreen_queue_images",] == 3
        assert page["evergreen_golden_checks_total", ("result", "wrong")] == 1
        assert page["evergreen_predictions_total", ("label", "bag")] == 2
        assert page["evergreen_predictions_total", ("label", "coat")] == 0
        assert page["evergreen_model_info", ("digest", "abc"), ("name", "fashion"), ("version", "3")] == 1
        assert page["evergreen_worker_restarts_total",] == 0


def test_each_process_has_its_figures_once(start):
    workers = [start(0), start(1)]
    workers[1].do("[bytes(50_000_000)][0].count(1)", "globals().update(held=b'x' * 50_000_000)")
    page = workers[0].page()
    memory = of_workers(page, "process_resident_memory_bytes")
    assert set(memory) == {"0", "1"}
    assert memory["1"] > memory["0"] + 40_000_000
    for name in ("process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds"):
        assert set(of_workers(page, name)) == {"0", "1"}
    assert [key for key in page if key[0].startswith("process_") and len(key) != 2] == []
    assert "evergreen_worker_process" not in names(page)


def test_what_a_dead_worker_counted_stays_and_what_it_had_in_flight_goes(start, tmp_path):
    first, second = start(0), start(1)
    first.do("metrics.in_flight.set(1)")
    second.do('metrics.answered("/predict", 200, 0.2)', "metrics.in_flight.set(4)", "metrics.queued(9)")
    second.kill()
    forget_worker(tmp_path, 1)
    page = first.page()
    assert page["evergreen_requests_total", ("code", "200"), ("route", "/predict")] == 1
    assert page["evergreen_request_seconds_count", ("route", "/predict")] == 1
    assert page["evergreen_requests_in_flight",] == 1
    assert page["evergreen_queue_images",] == 0
    assert set(of_workers(page, "process_open_fds")) == {"0"}


@pytest.mark.parametrize("is_forgotten", [True, False])
def test_who_replaces_it_goes_on_with_its_counters_in_its_files(start, tmp_path, is_forgotten):
    first, second = start(0), start(1)
    for deaths in range(1, 4):
        second.do('metrics.answered("/predict", 200, 0.2)', "metrics.in_flight.set(4)")
        files = sorted(tmp_path.iterdir())
        second.kill()
        if is_forgotten:
            forget_worker(tmp_path, 1)
        second = start(1)
        for page in (first.page(), second.page()):
            assert page["evergreen_requests_total", ("code", "200"), ("route", "/predict")] == deaths
            assert page["evergreen_request_seconds_sum", ("route", "/predict")] == pytest.approx(0.2 * deaths)
            assert page["evergreen_requests_in_flight",] == 0
            assert page["evergreen_worker_restarts_total",] == deaths
            assert set(of_workers(page, "process_open_fds")) == {"0", "1"}
        assert sorted(tmp_path.iterdir()) == files  # not one set more for each death


def test_a_worker_without_a_name_is_known_by_its_process(start):
    worker = start(None)
    worker.do("metrics.model_error()")
    page = worker.page()
    assert page["evergreen_model_errors_total",] == 1
    assert set(of_workers(page, "process_open_fds")) == {str(worker.process.pid)}
