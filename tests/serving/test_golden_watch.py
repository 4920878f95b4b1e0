"""The server that asks itself whether it is still right."""

import asyncio
import contextlib
import logging

import pytest

import serving.golden_watch
from serving.bundle.module import script_module
from serving.golden_watch import check_golden_now, watch_golden
from serving.service import Service
from serving.state import State
from tests.bundles import make_images
from tests.serving.asgi import SlowClient, until
from tests.serving.files import encode
from tests.serving.modules import NAN, WRONG, Answering, Failing

PNG = encode(make_images(1, seed=1)[0], "PNG")


@pytest.fixture
def client(make_client):
    return make_client(golden_every_s=0)


@pytest.fixture
def damage(client, monkeypatch):
    """Put another module in the model's place; without one, its own comes back."""
    own = client.service.model._module
    return lambda module=None: monkeypatch.setattr(
        client.service.model, "_module", own if module is None else script_module(module)
    )


@contextlib.asynccontextmanager
async def watching(service):
    task = asyncio.create_task(watch_golden(service))
    yield
    assert not task.done()
    task.cancel()


def checks(client, result: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(
        next(line for line in lines if line.startswith(f'evergreen_golden_checks_total{{result="{result}"')).split()[1]
    )


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (Answering(WRONG), "unwell: 8 of 8 golden answers are wrong; the worst is golden/"),
        (Answering(NAN), "is not finite"),
        (Failing(), "failed: "),
    ],
    ids=["wrong answers", "not a number", "no answers"],
)
def test_a_model_that_is_no_longer_right_answers_nobody_until_it_is(client, damage, module, sentence, caplog):
    damage(module)
    asyncio.run(check_golden_now(client.service))
    assert client.service.state is State.UNWELL
    assert client.get("/v2/health/ready").json() == {"ready": False, "state": "unwell"}
    assert client.get("/v2/health/ready").status_code == 503
    assert client.get("/v2/health/live").status_code == 200
    response = client.post("/predict", content=PNG)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["error"] == "the model is not ready: the server is unwell; try again or elsewhere"
    assert client.get("/v2/models/fashion").status_code == 200
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage().startswith("unwell: ")
    assert sentence in record.getMessage()
    assert (checks(client, "right"), checks(client, "wrong")) == (0, 1)

    damage()
    asyncio.run(check_golden_now(client.service))
    assert client.service.state is State.READY
    assert client.post("/predict", content=PNG).status_code == 200
    assert "well again: the golden answers are right" in caplog.text
    assert (checks(client, "right"), checks(client, "wrong")) == (1, 1)


def test_an_answer_of_a_model_that_turned_out_to_be_wrong_meanwhile_is_not_given(client, monkeypatch):
    service = client.service
    ask = service.ask

    async def ask_and_doubt(images, deadline):
        answer = await ask(images, deadline)
        service.trust(is_right=False)
        return answer

    monkeypatch.setattr(service, "ask", ask_and_doubt)
    assert client.post("/predict", content=PNG).status_code == 503


def test_any_failure_of_the_model_is_a_reason_to_look_at_once(client, damage):
    service = client.service

    async def scenario():
        async with watching(service):
            await asyncio.sleep(0)
            assert not service.doubt.is_set()
            damage(Answering(NAN))
            request = SlowClient(client.app, "/predict")
            request.send(PNG)
            await request.task
            assert request.status == 500
            await until(lambda: service.state is State.UNWELL)
            assert not service.doubt.is_set()

    asyncio.run(scenario())
    assert "evergreen_model_errors_total 1.0" in client.get("/metrics").text


def test_it_recovers_though_nobody_may_ask_it_anything(client, damage, monkeypatch):
    monkeypatch.setattr(serving.golden_watch, "_UNWELL_S", 0.005)
    monkeypatch.setattr(serving.golden_watch, "_PAUSE_S", 0.001)
    service = client.service

    async def scenario():
        async with watching(service):
            damage(Answering(WRONG))
            service.doubt.set()
            await until(lambda: service.state is State.UNWELL)
            damage()
            await until(lambda: service.state is State.READY)

    asyncio.run(scenario())


def test_it_looks_every_so_often(make_client):
    client = make_client(golden_every_s=0.002)

    async def scenario():
        async with watching(client.service):
            await until(lambda: client.service.metrics._right._value.get() >= 3)

    asyncio.run(scenario())
    assert client.service.state is State.READY


def test_failures_that_follow_each_other_are_one_doubt(client, monkeypatch):
    looked = []

    async def look(service):
        looked.append(service)

    monkeypatch.setattr(serving.golden_watch, "check_golden_now", look)
    service = client.service

    async def scenario():
        async with watching(service):
            service.doubt.set()
            await until(lambda: len(looked) == 1)
            for _ in range(20):
                service.doubt.set()
                await asyncio.sleep(0)
            assert len(looked) == 1

    asyncio.run(scenario())


def test_what_nobody_thought_of_makes_it_unwell_and_does_not_end_the_watch(client, monkeypatch, caplog):
    def fail(images):
        raise ZeroDivisionError("nobody thought of it")

    monkeypatch.setattr(client.service, "ask", fail)
    asyncio.run(check_golden_now(client.service))
    assert client.service.state is State.UNWELL
    assert "nobody thought of it" in caplog.text
    monkeypatch.undo()
    asyncio.run(check_golden_now(client.service))
    assert client.service.state is State.READY


def test_nothing_is_asked_while_the_model_loads(settings):
    service = Service(settings)

    async def scenario():
        async with watching(service):
            service.doubt.set()
            await until(lambda: not service.doubt.is_set())
            await asyncio.sleep(0)
            assert service.state is State.LOADING
            assert service.is_trusted

    asyncio.run(scenario())


def test_what_was_wrong_before_the_end_stays_refused_while_draining(client, damage):
    damage(Answering(WRONG))
    asyncio.run(check_golden_now(client.service))
    client.service.start_draining()
    assert client.post("/predict", content=PNG).status_code == 503
    damage()
    asyncio.run(check_golden_now(client.service))
    assert client.service.state is State.DRAINING
    assert client.post("/predict", content=PNG).status_code == 200
