"""Debian's Prometheus reads a real server's page, and its promtool finds nothing wrong with it or with the alerts."""

import contextlib
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.conftest import ROOT
from tests.serving.processes import DEADLINE_S, PNG, PNG_HEADERS, Server, run_server, until, wait_for
from tests.serving.test_metrics import AFTER_SOMETHING, FROM_THE_START, names, read

FOLDER = ROOT / "deploy" / "prometheus"
ANSWERED, REFUSED = 7, 2

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus")


@pytest.fixture(scope="module", params=["1", "2"], ids=["one worker", "two workers"])
def server(request: pytest.FixtureRequest, tiny_bundle: Path) -> Iterator[Server]:
    with run_server(tiny_bundle, "--workers", request.param) as running:
        wait_for(running.lines, "ready")
        until(lambda: httpx.get(f"{running.url}/v2/health/ready").status_code == 200)
        for content, count in ((PNG, ANSWERED), (b"no image", REFUSED)):
            for _ in range(count):
                httpx.post(f"{running.url}/predict", content=content, headers=PNG_HEADERS)
        yield running


@contextlib.contextmanager
def run_prometheus(folder: Path, target: str) -> Iterator[str]:
    """Run a Prometheus that reads one target again and again, and give its URL."""
    scrape = {"job_name": "evergreen", "static_configs": [{"targets": [target]}]}
    config = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
        "rule_files": [str(FOLDER / "rules.yml")],
        "scrape_configs": [scrape],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    process = subprocess.Popen([*command, "--web.listen-address=127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
    seen: list[str] = []
    port = ""
    for line in process.stderr:
        seen.append(line)
        if found := re.search(r'msg="Listening on" address=127\.0\.0\.1:(\d+)', line):
            port = found[1]
            break
    rest = threading.Thread(target=process.stderr.read)
    rest.start()
    try:
        assert port, "".join(seen)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(DEADLINE_S)
        rest.join(DEADLINE_S)
        process.stderr.close()


@pytest.fixture(scope="module")
def prometheus(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus: apt-get install prometheus")
    with run_prometheus(tmp_path_factory.mktemp("prometheus"), server.url.removeprefix("http://")) as url:
        yield url


def ask(prometheus: str, query: str) -> list[dict]:
    """Return a query's result once there is one."""
    until = time.monotonic() + DEADLINE_S
    answer = httpx.Response(503)
    while time.monotonic() < until:
        answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query})
        if answer.status_code == 200 and (result := answer.json()["data"]["result"]):
            return result
        time.sleep(0.05)
    return pytest.fail(f"{query} has no result: {answer.text}; {httpx.get(f'{prometheus}/api/v1/targets').text}")


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ('up{job="evergreen"}', 1),
        ("evergreen_ready", 1),
        ('evergreen_requests_total{route="/predict", code="200"}', ANSWERED),
        ('evergreen_requests_total{route="/predict", code="422"}', REFUSED),
        ('evergreen_request_seconds_count{route="/predict"}', ANSWERED + REFUSED),
        ("sum(evergreen_predictions_total)", ANSWERED),
        ("evergreen_images_total", ANSWERED),
        ('evergreen_model_info{name="fashion", version="12"}', 1),
        ("count(evergreen_predictions_total)", 7),
        ("sum(evergreen_dispatches_total)", ANSWERED),
        ('evergreen_golden_checks_total{result="wrong"}', 0),
        ("evergreen_worker_restarts_total", 0),
        ("sum(process_resident_memory_bytes) > bool 10000000", 1),
    ],
)
def test_prometheus_knows(prometheus, query, value):
    (result,) = ask(prometheus, query)
    assert float(result["value"][1]) == value


def test_prometheus_knows_each_worker(prometheus, server, request):
    workers = request.node.callspec.params["server"]
    results = ask(prometheus, "process_open_fds")
    expected = {"0", "1"} if workers == "2" else {None}
    assert {result["metric"].get("worker") for result in results} == expected
    assert len(results) == int(workers)


def test_prometheus_can_make_quantiles(prometheus):
    (result,) = ask(prometheus, 'histogram_quantile(0.5, evergreen_request_seconds_bucket{route="/predict"})')
    assert 0 < float(result["value"][1]) <= 10


def test_no_alert_is_raised_by_a_server_that_is_well(prometheus):
    ask(prometheus, "evergreen_ready")
    groups = httpx.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) >= 6
    assert {rule["name"]: rule["state"] for rule in rules if rule["state"] != "inactive"} == {}


@needs_promtool
def test_promtool_finds_nothing_wrong_with_the_page(server):
    page = httpx.get(f"{server.url}/metrics").text
    assert names(read(page.encode())) >= FROM_THE_START | AFTER_SOMETHING
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@needs_promtool
@pytest.mark.parametrize(
    "command",
    [("check", "config", "prometheus.yml"), ("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")],
)
def test_promtool_finds_nothing_wrong_with_the_alerts(command):
    checked = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False, cwd=FOLDER)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_alerts_ask_for_what_is_there_and_each_is_tested():
    text = (FOLDER / "rules.yml").read_text()
    alerts = set(re.findall(r"alert: (\w+)", text))
    fired = [
        asked["alertname"]
        for case in yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
        for asked in case["alert_rule_test"]
        if asked.get("exp_alerts")
    ]
    assert len(alerts) >= 6
    assert set(fired) == alerts
    asked = set(re.findall(r"\bevergreen_\w+", text))
    assert len(asked) >= 5
    assert asked <= FROM_THE_START | AFTER_SOMETHING
