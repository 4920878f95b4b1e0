"""Clients that send slowly, leave, or cannot wait."""

import asyncio
import math
import threading

import pytest

import serving.departure
from tests.bundles import make_images
from tests.serving.asgi import SlowClient, until
from tests.serving.files import encode

PNG = encode(make_images(1, seed=1)[0], "PNG")
RAW = {"content-type": "application/octet-stream", "x-image-shape": "28,28"}
PIXELS = make_images(1, seed=1)[0].tobytes()


def test_a_client_that_sends_slowly_takes_nobodys_place(make_client):
    client = make_client(max_in_flight=1)

    async def scenario():
        slow = [SlowClient(client.app, "/predict", RAW) for _ in range(3)]
        for one in slow:
            one.send(PIXELS[:100], is_more=True)
        await until(lambda: client.service.room.bytes == 300)
        quick = SlowClient(client.app, "/predict", RAW)
        quick.send(PIXELS)
        await quick.task
        assert quick.status == 200
        for one in slow:
            one.send(PIXELS[100:])
            await one.task
            assert one.status == 200

    asyncio.run(scenario())
    assert (client.service.room.requests, client.service.room.bytes) == (0, 0)


def test_a_body_that_never_ends_is_given_up(make_client):
    client = make_client(receive_s=0.02)

    async def scenario():
        slow = SlowClient(client.app, "/predict", RAW)
        slow.send(PIXELS[:100], is_more=True)
        await slow.task
        assert (slow.status, slow.headers["connection"]) == (408, "close")
        assert slow.json["error"] == "the body did not come within 0.02 s, the limit"
        assert slow.json["request_id"] == slow.headers["x-request-id"]

    asyncio.run(scenario())
    assert (client.service.room.requests, client.service.room.bytes) == (0, 0)


def test_the_time_for_the_body_is_not_the_time_for_the_answer(make_client, monkeypatch):
    """A request that waits longer than a body may take to come is answered nevertheless."""
    client = make_client(receive_s=0.02)
    go = threading.Event()
    predict_each = client.service.model.predict_each

    def wait_and_predict(requests):
        assert go.wait(60)
        return predict_each(requests)

    monkeypatch.setattr(client.service._batcher, "_predict_each", wait_and_predict)

    async def scenario():
        request = SlowClient(client.app, "/predict", RAW)
        request.send(PIXELS)
        await until(lambda: client.service.room.requests == 1)
        asyncio.get_running_loop().call_later(0.06, go.set)
        await request.task
        assert request.status == 200

    asyncio.run(scenario())


def test_a_client_that_leaves_while_it_sends(make_client):
    client = make_client()

    async def scenario():
        request = SlowClient(client.app, "/predict", RAW)
        request.send(PIXELS[:100], is_more=True)
        request.leave()
        await request.task
        assert request.messages == []

    asyncio.run(scenario())
    assert (client.service.room.requests, client.service.room.bytes) == (0, 0)
    assert 'code="499",route="/predict"} 1.0' in client.get("/metrics").text


def test_a_client_that_leaves_while_it_waits_costs_no_compute(make_client, monkeypatch):
    monkeypatch.setattr(serving.departure, "_PATIENCE_S", 0)
    client = make_client()
    go, batches = threading.Event(), []
    predict_each = client.service.model.predict_each

    def wait_and_predict(requests):
        batches.append(len(requests))
        assert go.wait(60)
        return predict_each(requests)

    monkeypatch.setattr(client.service._batcher, "_predict_each", wait_and_predict)

    async def scenario():
        requests = []
        for number in range(4):
            requests.append(SlowClient(client.app, "/predict", RAW))
            requests[-1].send(PIXELS)
            await until(lambda number=number: client.service.room.requests == number + 1)
            await until(lambda: len(batches) == 1)
        for request in requests[1:3]:
            request.leave()
            await request.task
            assert request.messages == []
        assert client.service.room.requests == 2
        go.set()
        for request in (requests[0], requests[3]):
            await request.task
            assert request.status == 200

    asyncio.run(scenario())
    assert batches == [1, 1]
    assert (client.service.room.requests, client.service.room.bytes) == (0, 0)
    assert 'code="499",route="/predict"} 2.0' in client.get("/metrics").text


def test_a_server_that_stops_a_request_is_not_taken_for_a_client_that_left(make_client, monkeypatch):
    monkeypatch.setattr(serving.departure, "_PATIENCE_S", 0)
    client = make_client()
    go = threading.Event()
    monkeypatch.setattr(client.service._batcher, "_predict_each", lambda requests: go.wait(60) and [])

    async def scenario():
        request = SlowClient(client.app, "/predict", RAW)
        request.send(PIXELS)
        await until(lambda: request.asked == 2)  # it looks for the client
        request.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request.task
        go.set()

    asyncio.run(scenario())
    assert (client.service.room.requests, client.service.room.bytes) == (0, 0)


@pytest.mark.parametrize(
    ("timeout_s", "headers", "expected"),
    [(30.0, {}, 30.0), (0.0, {}, math.inf), (30.0, {"x-timeout-ms": "1500"}, 1.5)],
    ids=["by the settings", "none", "by the request"],
)
def test_the_deadline_counts_from_the_arrival(make_client, monkeypatch, timeout_s, headers, expected):
    client = make_client(timeout_s=timeout_s)
    seen = []
    predict = client.service.predict

    async def remember(images, deadline):
        seen.append(deadline)
        return await predict(images, deadline)

    monkeypatch.setattr(client.service, "predict", remember)
    monkeypatch.setattr("serving.observer.time.monotonic", lambda: 100.0)
    monkeypatch.setattr("serving.body.time.monotonic", lambda: 100.0)
    monkeypatch.setattr("serving.batcher.time.monotonic", lambda: 100.0)
    assert client.post("/predict", content=PIXELS, headers={**RAW, **headers}).status_code == 200
    assert seen == [pytest.approx(100.0 + expected)]


def test_a_request_that_is_whole_too_late_is_not_even_decoded(make_client, monkeypatch):
    client = make_client()
    monkeypatch.setattr(client.service, "read", lambda function: pytest.fail("it was decoded"))

    async def scenario():
        request = SlowClient(client.app, "/predict", {"x-timeout-ms": "1"})
        request.send(PNG[:100], is_more=True)
        await asyncio.sleep(0.005)  # more than its time: whatever comes later is too late
        request.send(PNG[100:])
        await request.task
        assert request.status == 504
        assert "nothing was computed" in request.json["error"]

    asyncio.run(scenario())
    assert "evergreen_deadline_drops_total 1.0" in client.get("/metrics").text
    assert (client.service.room.requests, client.service.room.bytes) == (0, 0)
