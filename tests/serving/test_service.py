"""A server's life, state by state, without a process."""

import asyncio
import dataclasses
import threading

import numpy as np
import pytest

from serving.board import Board
from serving.bundle.module import script_module
from serving.errors import DeadlinePassedError, ModelFailedError, UnavailableError
from serving.prediction import NoMemoryError
from serving.service import Service
from serving.state import State
from tests.bundles import make_images
from tests.serving.modules import NAN, Answering

IMAGES = make_images(3, seed=1)


@pytest.fixture
def loaded(settings) -> Service:
    service = Service(settings)
    asyncio.run(service.load())
    return service


def sample(service, name: str) -> float:
    lines = service.metrics.expose().decode().splitlines()
    return float(next(line for line in lines if line.startswith(name + " ")).split()[-1])


def test_loading_then_ready(settings):
    service = Service(settings)
    assert (service.state, service.digest, service.recorder) == (State.LOADING, None, None)
    with pytest.raises(UnavailableError, match="the model is not ready: the server is loading; try again or elsewhere"):
        asyncio.run(service.predict(IMAGES))
    with pytest.raises(UnavailableError, match="the server is loading"):
        asyncio.run(service.ask(IMAGES))
    asyncio.run(service.load())
    assert service.state is State.READY
    assert service.digest == service.model.digest


def test_a_server_is_ready_when_all_its_workers_are(settings):
    board = Board(2)
    one, other = (Service(settings, slot) for slot in board.slots)
    asyncio.run(one.load())
    assert (one.state, one.server_state) == (State.READY, State.LOADING)
    asyncio.run(other.load())
    assert one.server_state is State.READY
    other.trust(is_right=False)
    assert (one.state, one.server_state) == (State.READY, State.UNWELL)
    one.in_flight += 3
    assert (board.slots[0].in_flight, board.slots[1].in_flight) == (3, 0)


def test_it_answers_as_the_model_does_and_counts(loaded):
    answer = asyncio.run(loaded.predict(IMAGES))
    np.testing.assert_allclose(answer.probabilities, loaded.model.predict(IMAGES).probabilities, atol=1e-6)
    assert sample(loaded, "evergreen_images_total") == 3
    labels = [loaded.model.contract.classes[winner] for winner in answer.probabilities.argmax(axis=1)]
    for label in labels:
        assert sample(loaded, f'evergreen_predictions_total{{label="{label}"}}') == labels.count(label)
    assert sample(loaded, "evergreen_confidence_count") == 3


def test_a_model_failure_tells_nothing_of_the_inside_and_raises_a_doubt(loaded, monkeypatch):
    monkeypatch.setattr(loaded.model, "_module", script_module(Answering(NAN)))
    with pytest.raises(ModelFailedError, match=r"^the model failed on this request$") as caught:
        asyncio.run(loaded.predict(IMAGES))
    assert "is not finite" in str(caught.value.__cause__)
    assert loaded.doubt.is_set()
    assert sample(loaded, "evergreen_model_errors_total") == 1
    assert sample(loaded, "evergreen_images_total") == 0


def test_no_memory_for_one_image_is_no_failure_of_the_request(loaded, monkeypatch):
    def fail(_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(loaded.model, "answer", fail)
    with pytest.raises(
        UnavailableError, match=r"^there is no memory for this image now; try again or elsewhere$"
    ) as caught:
        asyncio.run(loaded.predict(IMAGES))
    assert isinstance(caught.value.__cause__, NoMemoryError)
    assert loaded.doubt.is_set()


def test_a_deadline_that_passed_raises_no_doubt(loaded):
    with pytest.raises(DeadlinePassedError):
        asyncio.run(loaded.predict(IMAGES, deadline=0.0))
    assert not loaded.doubt.is_set()
    assert sample(loaded, "evergreen_model_errors_total") == 0


def test_reading_goes_on_beside_the_event_loop_and_is_measured(loaded):
    def read():
        return threading.current_thread().name

    assert asyncio.run(loaded.read(read)).startswith("decode")
    assert sample(loaded, "evergreen_decode_seconds_count") == 1


def test_answers_are_recorded_where_there_is_a_log(settings, tmp_path):
    service = Service(dataclasses.replace(settings, record_folder=str(tmp_path)))
    asyncio.run(service.load())
    service.record("req-1", IMAGES, asyncio.run(service.predict(IMAGES)))
    service.close()
    (segment,) = (file for file in tmp_path.rglob("*") if file.is_file() and file.stat().st_size)
    assert segment.read_text().count("req-1") == 3
    assert sample(service, 'evergreen_records_total{result="written"}') == 3


def test_without_a_log_recording_is_nothing(loaded):
    loaded.record("req-1", IMAGES, asyncio.run(loaded.predict(IMAGES)))
    assert loaded.recorder is None


def test_a_server_told_to_stop_while_loading_does_not_become_ready(settings):
    service = Service(settings)
    service.start_draining()
    asyncio.run(service.load())
    assert service.state is State.DRAINING
    assert asyncio.run(service.predict(IMAGES)).probabilities.shape[0] == 3


def test_a_refused_bundle_fails(settings, tmp_path):
    service = Service(dataclasses.replace(settings, bundle=tmp_path))
    asyncio.run(service.load())
    assert (service.state, service.is_bundle_refused) == (State.FAILED, True)


def test_any_other_failure_fails_too_and_is_logged_whole(settings, monkeypatch, caplog):
    service = Service(settings)

    def fail():
        raise MemoryError("no room")

    monkeypatch.setattr(service, "_load_model", fail)
    asyncio.run(service.load())
    assert (service.state, service.is_bundle_refused) == (State.FAILED, False)
    assert "the model cannot be loaded" in caplog.text
    assert "no room" in caplog.text
