"""Request ids, the version headers, traces, the log line and the metrics of every request."""

import asyncio
import json
import logging
import time
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.logs import JsonFormatter
from serving.notes import note
from serving.observer import Observer, choose_level
from serving.state import State
from tests.bundles import make_images
from tests.serving.conftest import Client
from tests.serving.files import encode

PNG = encode(make_images(1, seed=1)[0], "PNG")
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


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


def test_an_answer_says_which_model_gave_it(client):
    headers = client.get("/nothing").headers
    assert headers["x-evergreen-version"] == "12"
    assert headers["x-evergreen-digest"] == client.service.model.digest


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([TRACEPARENT], TRACEPARENT),
        (["00-nothing-of-it-01"], None),
        ([TRACEPARENT, TRACEPARENT.replace("0af", "1af")], None),
        ([], None),
    ],
    ids=["valid", "invalid", "two", "none"],
)
def test_a_trace_is_handed_back_and_logged_and_none_is_invented(client, caplog, sent, expected):
    caplog.set_level(logging.DEBUG, logger="serving")
    response = client.get("/v2", headers=[("traceparent", value) for value in sent])
    assert response.headers.get("traceparent") == expected
    assert line_of(caplog).get("traceparent") == expected


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
    assert client.service.in_flight == 0


def test_metrics_are_prometheus_text(client):
    assert client.get("/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def line_of(caplog) -> dict:
    """Return the values of the one line that was logged."""
    (record,) = [record for record in caplog.records if record.name.startswith("serving")]
    line = JsonFormatter().format(record)
    assert "\n" not in line
    return json.loads(line)


@pytest.mark.parametrize(
    ("content", "code", "level"), [(PNG, 200, "debug"), (b"a secret", 422, "info")], ids=["answered", "refused"]
)
def test_a_request_is_one_log_line_without_its_body(client, caplog, content, code, level):
    caplog.set_level(logging.DEBUG, logger="serving")
    client.post("/predict", content=content, headers={"content-type": "image/png", "x-request-id": "req-5"})
    values = line_of(caplog)
    assert {name: values[name] for name in ("level", "method", "route", "code", "request_id", "version")} == {
        "level": level, "method": "POST", "route": "/predict", "code": code, "request_id": "req-5", "version": "12",
    }  # fmt: skip
    assert values["ms"] > 0
    always = {"time", "level", "logger", "message", "method", "route", "code", "ms", "request_id", "version"}
    assert set(values) - always == (
        {"batch", "queue_ms", "inference_ms", "decode_ms"} if code == 200 else {"decode_ms"}
    )
    assert "secret" not in json.dumps(values)


@pytest.mark.parametrize(
    ("route", "code", "level"),
    [
        ("/predict", 200, logging.DEBUG),
        ("/predict", 399, logging.DEBUG),
        ("/predict", 400, logging.INFO),
        ("/predict", 499, logging.INFO),
        ("/predict", 500, logging.ERROR),
        ("/predict", 503, logging.INFO),
        ("/predict", 504, logging.INFO),
        ("/v2/health/ready", 503, logging.DEBUG),
        ("/v2/health/ready", 500, logging.ERROR),
        ("/v2/models/{name}/ready", 503, logging.DEBUG),
        ("/v2/models/{name}/infer", 503, logging.INFO),
        ("/metrics", 404, logging.DEBUG),
    ],
)
def test_the_level_of_a_line(route, code, level):
    assert choose_level(route, code) == level


@pytest.mark.parametrize(("level", "lines"), [(logging.INFO, 50), (logging.DEBUG, 130)], ids=["info", "debug"])
def test_a_flood_of_refusals_fills_no_log(client, caplog, monkeypatch, level, lines):
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("", status_code=503)(scope, receive, send)

    now = 1000.0
    monkeypatch.setattr("serving.observer.time", SimpleNamespace(monotonic=lambda: now))
    caplog.set_level(level, logger="serving")
    asked = observe(app, client)
    before = counted(client, "503")
    caplog.clear()
    for _ in range(130):
        asked.get("/")
    assert len(caplog.records) == lines
    now += 1
    caplog.clear()
    asked.get("/")
    assert line_of(caplog).get("left_out", 0) == 130 - lines
    assert counted(client, "503") == before + 131


def counted(client: Client, code: str) -> float:
    return read_metrics(client).get(("evergreen_requests_total", ("code", code), ("route", "unknown")), 0)


def test_probes_that_are_told_no_fill_no_log(make_client, caplog):
    client = make_client()
    client.service.state = State.DRAINING
    caplog.clear()
    caplog.set_level(logging.INFO, logger="serving")
    assert client.get("/v2/health/ready").status_code == 503
    assert not caplog.records


def observe(app: ASGIApp, client: Client) -> Client:
    """Return a client of an observed application, in the place of the server's own."""
    return Client(Observer(app, client.service))


def test_what_was_noted_on_the_way_is_in_the_line(client, caplog):
    async def work() -> None:
        note(batch=8)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        note(queue_ms=1.23456, decode_ms=2.0)
        await asyncio.create_task(work())
        await PlainTextResponse("")(scope, receive, send)

    caplog.set_level(logging.DEBUG, logger="serving")
    observe(app, client).get("/")
    values = line_of(caplog)
    assert {name: values[name] for name in ("queue_ms", "decode_ms", "batch")} == {
        "queue_ms": 1.235, "decode_ms": 2.0, "batch": 8,
    }  # fmt: skip


def test_notes_are_of_one_request(client, caplog):
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        note(**{scope["path"].strip("/"): 1})
        await asyncio.sleep(0)
        await PlainTextResponse("")(scope, receive, send)

    async def ask_both() -> None:
        def ask(path: str):
            scope = {"type": "http", "method": "GET", "path": path, "headers": []}
            return Observer(app, client.service)(scope, ignore, ignore)

        await asyncio.gather(asyncio.create_task(ask("/one")), asyncio.create_task(ask("/two")))
        await ask("/three")  # one after the other, as those of a connection are that were sent ahead
        await ask("/four")

    async def ignore(*_: object) -> None:
        pass

    caplog.set_level(logging.DEBUG, logger="serving")
    asyncio.run(ask_both())
    noted = [{"one", "two", "three", "four"} & set(vars(record)) for record in caplog.records]
    assert noted == [{"one"}, {"two"}, {"three"}, {"four"}]


def test_the_state_says_when_it_arrived_and_its_id(client):
    seen = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update(scope["state"])
        await PlainTextResponse("")(scope, receive, send)

    before = time.monotonic()
    response = observe(app, client).get("/", headers={"x-request-id": "req-6"})
    assert seen["request_id"] == response.headers["x-request-id"] == "req-6"
    assert before <= seen["arrived"] <= time.monotonic()


def test_a_failure_tells_the_log_everything_and_the_client_its_id(client, caplog):
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("inside")

    response = observe(app, client).get("/", headers={"x-request-id": "req-7"})
    assert response.status_code == 500
    assert response.json()["request_id"] == response.headers["x-request-id"] == "req-7"
    assert "inside" not in response.text
    failed, line = caplog.records
    assert (failed.levelname, failed.request_id, str(failed.exc_info[1])) == ("ERROR", "req-7", "inside")
    assert (line.levelname, line.request_id, line.code) == ("ERROR", "req-7", 500)


@pytest.mark.parametrize(("begins", "code"), [(False, 499), (True, 200)], ids=["before its answer", "meanwhile"])
def test_a_client_that_leaves(client, caplog, begins, code):
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ClientDisconnect

    async def ask() -> None:
        async def ignore(*_: object) -> None:
            pass

        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await Observer(app, client.service)(scope, ignore, ignore)

    caplog.set_level(logging.DEBUG, logger="serving")
    asyncio.run(ask())
    assert line_of(caplog)["code"] == code
    assert client.service.in_flight == 0


def test_a_broken_answer_breaks_the_connection(client):
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("inside")

    async def ask() -> None:
        async def ignore(*_: object) -> None:
            pass

        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await Observer(app, client.service)(scope, ignore, ignore)

    with pytest.raises(RuntimeError, match="inside"):
        asyncio.run(ask())
    assert client.service.in_flight == 0
