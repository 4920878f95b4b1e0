"""Metrics arrive once and in full, whenever MLflow is away, and who trains never waits for it."""

import threading
import time

import pytest
from mlflow import MlflowClient

from tasks.errors import RegistryError
from tasks.registry.metric_stream import MetricStream
from tasks.registry.tracking import TrackedRun
from tests.registry.coming_and_going import ComingAndGoing

LIMIT_S = 60  # of what must happen


@pytest.fixture
def mlflow(client, monkeypatch):
    """A server in front of the test's database, which is up."""
    for name, value in {"MAX_RETRIES": "0", "BACKOFF_FACTOR": "0", "TIMEOUT": "10"}.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    server = ComingAndGoing(client)
    server.come()
    yield server
    server.go()


@pytest.fixture
def run(mlflow, client, experiment):
    """A run, reached through the server."""
    run_id = client.create_run(client.get_experiment_by_name(experiment).experiment_id).info.run_id
    return TrackedRun(MlflowClient(mlflow.address), mlflow.address, run_id)


class Outage:
    """Hears of outages."""

    def __init__(self):
        self.errors = []
        self.heard = threading.Event()

    def __call__(self, error):
        self.errors.append(error)
        self.heard.set()


@pytest.fixture
def outage():
    return Outage()


def epoch(number: int) -> dict[str, object]:
    return {"epoch": number, "step": number * 10, "time": 1000.5 + number, "validation_accuracy": number / 100}


def logged(client, run) -> list[tuple[int, float]]:
    """Return (step, value) of each epoch's accuracy as MLflow has them."""
    return [(metric.step, metric.value) for metric in client.get_metric_history(run.run_id, "validation_accuracy")]


def expected(count: int) -> list[tuple[int, float]]:
    return [(number * 10, number / 100) for number in range(1, count + 1)]


def test_metrics_arrive_while_the_training_goes_on(run, client, outage):
    with MetricStream(run, outage) as stream:
        stream.add(epoch(1))
        deadline = time.monotonic() + LIMIT_S
        while not logged(client, run):
            assert time.monotonic() < deadline
        stream.add(epoch(2))
    assert logged(client, run) == expected(2)
    assert not outage.errors


def test_an_outage_keeps_them_until_mlflow_is_back(mlflow, run, client, outage):
    waits = []

    def come_back(waited_s: float) -> None:
        waits.append(waited_s)
        if len(waits) == 2:
            mlflow.come()

    with MetricStream(run, outage, retry_s=0.01) as stream:
        stream.add(epoch(1))
        mlflow.go()
        for number in (2, 3, 4):
            stream.add(epoch(number))
        assert outage.heard.wait(LIMIT_S)
        stream.add(epoch(5))
        stream.finish(timeout_s=LIMIT_S, on_wait=come_back)
    assert logged(client, run) == expected(5)
    assert waits == sorted(waits)
    assert len(outage.errors) == 1
    assert "MLflow at http://127.0.0.1" in str(outage.errors[0])


def test_metrics_whose_answer_was_lost_are_counted_once(mlflow, run, client, outage):
    answers = iter([False, False])
    mlflow.before_answer = lambda: next(answers, True)
    with MetricStream(run, outage, retry_s=0.01) as stream:
        stream.add(epoch(1))
        stream.finish(timeout_s=LIMIT_S, on_wait=lambda _: None)
    assert mlflow.requests == 3
    assert logged(client, run) == expected(1)


def test_who_trains_does_not_wait_for_an_answer(mlflow, run, client, outage):
    asked, answered = threading.Event(), threading.Event()

    def wait() -> bool:
        asked.set()
        return answered.wait(LIMIT_S)

    mlflow.before_answer = wait
    with MetricStream(run, outage) as stream:
        stream.add(epoch(1))
        assert asked.wait(LIMIT_S)
        for number in (2, 3):  # while the answer is awaited
            stream.add(epoch(number))
        assert mlflow.requests == 1
        answered.set()
    assert mlflow.requests == 2
    assert logged(client, run) == expected(3)


def fail_after_one_epoch(stream: MetricStream, heard: threading.Event) -> None:
    with stream:
        stream.add(epoch(1))
        assert heard.wait(LIMIT_S)
        raise ValueError("nan")


def is_over(stream: MetricStream) -> bool:
    stream.thread.join(LIMIT_S)
    return not stream.thread.is_alive()


def test_an_outage_that_does_not_end_is_an_error(mlflow, run, outage):
    mlflow.go()
    stream = MetricStream(run, outage, retry_s=0.01)
    stream.add(epoch(1))
    assert outage.heard.wait(LIMIT_S)
    with pytest.raises(RegistryError, match=r"2 metrics could not be logged in 0 s") as caught:
        stream.finish(timeout_s=0.1, on_wait=lambda _: None)
    assert isinstance(caught.value.__cause__, RegistryError)
    assert is_over(stream)


def test_a_training_that_failed_leaves_what_it_measured(run, client, outage):
    outage.heard.set()
    stream = MetricStream(run, outage)
    with pytest.raises(ValueError, match="nan"):
        fail_after_one_epoch(stream, outage.heard)
    assert logged(client, run) == expected(1)
    assert is_over(stream)


def test_a_training_that_failed_while_mlflow_is_away_does_not_wait(mlflow, run, outage):
    mlflow.go()
    stream = MetricStream(run, outage, retry_s=10 * LIMIT_S)
    with pytest.raises(ValueError, match="nan"):
        fail_after_one_epoch(stream, outage.heard)
    assert is_over(stream)


def test_an_event_without_a_step_is_refused_at_once(run, outage):
    with MetricStream(run, outage) as stream, pytest.raises(TypeError, match="needs an integer 'step'"):
        stream.add({"validation_accuracy": 0.5})
