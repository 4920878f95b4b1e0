"""Request ids, the log line and the metrics of every request."""

import json
import logging
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.logs import JsonFormatter
from serving.service import State
from tests.bundles import make_images
from tests.serving.files import encode

PNG = encode(make_images(1, seed=1)[0], "PNG")


@pytest.mark.parametrize("sent", ["a", "b7ad6b7169203331", "3f2c-11:2._x", "x" * 128])
def test_a_sane_request_id_is_kept(client, sent):
    response = client.get("/v2/health/live", headers={"x-request-id": sent})
    assert response.headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "two words", 'quote"', "x" * 129, "é".encode(), "a\tb"])
def test_another_is_replaced(client, sent):
    response = client.get("/v2/health/live", headers={"x-request-id": sent})
    assert response.headers["x-request-id"] != sent
    assert len(response.headers["x-request-id"]) == 32


def test_two_requests_have_two_ids(client):
    ids = {client.get("/v2").headers["x-request-id"] for _ in range(2)}
    assert len(ids) == 2


def read_metrics(client) -> dict[tuple, float]:
    text = client.get("/metrics").text
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_count_requests_images_and_seconds(make_client):
    client = make_client()
    for _ in range(3):
        client.post("/predict", content=PNG, headers={"content-type": "image/png"})
    client.post("/predict", json={"images": [[[1, 2]]] * 2})
    client.post("/predict", content=b"text", headers={"content-type": "image/png"})
    client.get("/nothing/one")
    client.get("/nothing/two")
    client.get("/v2/models/other")
    metrics = read_metrics(client)
    requests = {key[1:]: value for key, value in metrics.items() if key[0] == "evergreen_requests_total"}
    assert requests == {
        (("code", "200"), ("route", "/predict")): 4,
        (("code", "422"), ("route", "/predict")): 1,
        (("code", "404"), ("route", "unknown")): 2,
        (("code", "404"), ("route", "/v2/models/{name}")): 1,
    }
    assert metrics["evergreen_images_total",] == 5
    assert metrics["evergreen_requests_in_flight",] == 1  # this one
    assert metrics["evergreen_ready",] == 1
    digest = client.service.model.digest
    assert metrics["evergreen_model_info", ("digest", digest), ("name", "fashion"), ("version", "12")] == 1
    assert metrics["evergreen_request_seconds_count", ("route", "/predict")] == 5
    edges = [key[1][1] for key in metrics if key[0] == "evergreen_request_seconds_bucket" and key[2][1] == "/predict"]
    assert (edges[0], edges[-2], edges[-1]) == ("0.001", "10.0", "+Inf")
    assert client.service.in_flight == 0


def test_metrics_are_prometheus_text(client):
    assert client.get("/metrics").headers["content-type"].startswith("text/plain; version=")


@pytest.mark.parametrize(
    ("content", "code", "level"), [(PNG, 200, "debug"), (b"text", 422, "info")], ids=["answered", "refused"]
)
def test_a_request_is_one_log_line_without_its_body(client, caplog, content, code, level):
    caplog.set_level(logging.DEBUG, logger="serving")
    client.post("/predict", content=content, headers={"content-type": "image/png", "x-request-id": "req-5"})
    (record,) = [record for record in caplog.records if record.name.startswith("serving")]
    line = JsonFormatter().format(record)
    values = json.loads(line)
    assert "\n" not in line
    assert {name: values[name] for name in ("level", "method", "route", "code", "request_id")} == {
        "level": level, "method": "POST", "route": "/predict", "code": code, "request_id": "req-5",
    }  # fmt: skip
    assert values["ms"] > 0
    assert set(values) == {"time", "level", "logger", "message", "method", "route", "code", "ms", "request_id"}


def test_probes_that_are_told_no_fill_no_log(make_client, caplog):
    client = make_client()
    client.service.state = State.DRAINING
    caplog.set_level(logging.INFO, logger="serving")
    assert client.get("/v2/health/ready").status_code == 503
    assert not caplog.records


@pytest.mark.parametrize(
    ("level", "written"),
    [("debug", ["ours", "theirs", "ours"]), ("info", ["theirs", "ours"]), ("warning", ["ours"])],
)
def test_the_level_is_a_setting_and_pillows_debug_lines_are_nobodys(level, written):
    code = f"""
import logging
from serving.logs import configure_logging
configure_logging({level!r})
logging.getLogger("serving.observer").debug("ours")
logging.getLogger("PIL").debug("theirs")
logging.getLogger("PIL").info("theirs")
logging.getLogger("serving.observer").warning("ours")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [json.loads(line)["message"] for line in ended.stdout.splitlines()] == written


def test_an_exception_is_one_line_too():
    error = ValueError("two\nlines")
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", None, (ValueError, error, None))
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "two\nlines" in json.loads(line)["exception"]
