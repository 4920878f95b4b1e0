"""A release that an earlier run wanted and did not live to ask for: when it is finished, and when it is not."""

from types import SimpleNamespace

import pytest
from prefect.logging import disable_run_logger

import tasks.release
from tasks.registry.record import NO_CHAMPION, RELEASE_AGAINST_TAG, RegistryView
from tasks.release import find_unfinished_release

SETTINGS = SimpleNamespace(tracking_uri="http://mlflow.invalid", model=SimpleNamespace(name="shoes"))


@pytest.mark.parametrize(
    ("champion", "tags", "is_finished"),
    [
        (3, {RELEASE_AGAINST_TAG: "3"}, True),
        (None, {RELEASE_AGAINST_TAG: str(NO_CHAMPION)}, True),
        (4, {RELEASE_AGAINST_TAG: "3"}, False),
        (None, {RELEASE_AGAINST_TAG: "3"}, False),
        (3, {}, False),
    ],
    ids=["same champion", "still no champion", "another champion", "champion gone", "only to be registered"],
)
def test_a_waiting_challenger(monkeypatch, champion, tags, is_finished):
    waiting = SimpleNamespace(version=5, tags=tags)
    assert (find(monkeypatch, champion, waiting) is waiting) == is_finished


def test_without_a_challenger_nothing_is_unfinished(monkeypatch):
    assert find(monkeypatch, 3, None) is None


def find(monkeypatch, champion, waiting):
    """Return what is found in a registry with this champion and this challenger."""
    registry = SimpleNamespace(challenger=lambda: waiting, view=lambda: RegistryView(champion=champion))
    monkeypatch.setattr(tasks.release, "Registry", lambda uri, name: registry)
    with disable_run_logger():
        return find_unfinished_release.fn(SETTINGS)
