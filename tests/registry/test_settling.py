"""Two processes that settle the same model at once."""

import pytest

from tasks.registry.settling import settle
from tasks.registry.stages import Stage


@pytest.fixture
def champion(registry, client):
    """Versions 1 and 2, of which 1 is in production."""
    client.create_registered_model(registry.model)
    for _ in range(2):
        client.create_model_version(registry.model, "file:///nowhere", await_creation_for=0)
    move_champion(registry, 1)
    return registry


def move_champion(registry, version):
    """Make a version the champion and settle, as another process does it."""
    registry.set_alias("champion", version)
    for other in registry.versions():
        registry.set_stage(other.version, Stage.PRODUCTION if other.version == version else Stage.ARCHIVED)


def interrupt(monkeypatch, owner, name, *, after):
    """Let `after` happen once, right after the first call of a method."""
    found, calls = getattr(owner, name), []

    def call(*args, **kwargs):
        answer = found(*args, **kwargs)
        calls.append(args)
        if len(calls) == 1:
            after()
        return answer

    monkeypatch.setattr(owner, name, call)
    return calls


def stages(registry):
    return [str(version.stage) for version in registry.versions()]


def test_aliases_are_not_older_than_the_versions_they_are_shown_with(champion, monkeypatch):
    calls = interrupt(monkeypatch, champion.client, "search_model_versions", after=lambda: move_champion(champion, 2))
    assert [version.aliases for version in champion.versions()] == [(), ("champion",)]
    assert len(calls) > 0


def test_a_champion_that_came_while_we_settled_is_not_left_archived(champion, monkeypatch):
    champion.set_stage(2, Stage.STAGING)  # what there is to settle: it has no alias
    calls = interrupt(monkeypatch, champion, "versions", after=lambda: move_champion(champion, 2))
    settle(champion)
    assert len(calls) > 1
    assert stages(champion) == ["Archived", "Production"]


def test_nothing_to_settle_writes_nothing(champion, monkeypatch):
    champion.set_stage(2, Stage.ARCHIVED)
    monkeypatch.setattr(champion, "set_stage", lambda *_: pytest.fail("wrote what was there"))
    settle(champion)
