"""A server's life, state by state, without a process."""

import asyncio
import dataclasses

import pytest

import serving.service
from serving.service import Service, State


@pytest.fixture
def loaded(settings) -> Service:
    service = Service(settings)
    asyncio.run(service.load())
    return service


def test_loading_then_ready(settings):
    service = Service(settings)
    assert (service.state, service.digest, service.is_finished) == (State.LOADING, None, False)
    asyncio.run(service.load())
    assert (service.state, service.is_finished) == (State.READY, False)
    assert service.digest == service.model.digest


def test_draining_ends_when_nothing_is_in_flight(loaded):
    loaded.in_flight = 1
    loaded.start_draining()
    assert (loaded.state, loaded.is_finished) == (State.DRAINING, False)
    loaded.in_flight = 0
    assert loaded.is_finished


def test_draining_ends_when_its_time_is_over(loaded, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(serving.service.time, "monotonic", lambda: now[0])
    loaded.in_flight = 1
    loaded.start_draining()
    now[0] += loaded.settings.drain_s - 0.1
    assert not loaded.is_finished
    now[0] += 0.2
    assert loaded.is_finished


def test_a_server_told_to_stop_while_loading_does_not_become_ready(settings):
    service = Service(settings)
    service.start_draining()
    asyncio.run(service.load())
    assert service.state is State.DRAINING


def test_a_refused_bundle_fails(settings, tmp_path):
    service = Service(dataclasses.replace(settings, bundle=tmp_path))
    asyncio.run(service.load())
    assert (service.state, service.is_finished, service.is_bundle_refused) == (State.FAILED, True, True)


def test_any_other_failure_fails_too_and_is_logged_whole(settings, monkeypatch, caplog):
    service = Service(settings)

    def fail():
        raise MemoryError("no room")

    monkeypatch.setattr(service, "_load_model", fail)
    asyncio.run(service.load())
    assert (service.state, service.is_finished, service.is_bundle_refused) == (State.FAILED, True, False)
    assert "the model cannot be loaded" in caplog.text
    assert "no room" in caplog.text
