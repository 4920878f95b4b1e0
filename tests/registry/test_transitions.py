"""Transitions, and what a crash after each of their writes leaves behind. State is read with MLflow's own client."""

import pytest

from tasks.errors import ConfigError, RegistryError
from tasks.registry.ledger import Ledger
from tasks.registry.record import GATE_DIGEST_TAG
from tasks.registry.registry import Registry
from tasks.registry.stages import STAGE_TAG, Stage, set_stage
from tasks.registry.transitions import finish_open_transition, promote, reject, roll_back
from tests.registry.crashing import CrashError, CrashingClient, CrashingLedger, Fuse

STAGES = {"champion": "Production", "challenger": "Staging", "previous": "Archived"}


def make_versions(client, model, count):
    """Register versions 1..count without artifacts, the last one as the challenger in Staging."""
    client.create_registered_model(model)
    for _ in range(count):
        client.create_model_version(model, "file:///nowhere", await_creation_for=0)
    client.set_registered_model_alias(model, "challenger", str(count))
    set_stage(client, model, count, Stage.STAGING)


def aliases(client, model):
    return {alias: int(version) for alias, version in client.get_registered_model(model).aliases.items()}


def stages(client, model):
    """Each version's native stage, after checking that its tag and its aliases agree with it."""
    of_version = {version: STAGES[alias] for alias, version in aliases(client, model).items()}
    found = {}
    for version in client.search_model_versions(f"name = '{model}'"):
        number = int(version.version)
        found[number] = version.current_stage
        assert version.tags.get(STAGE_TAG, "None") == version.current_stage
        assert version.current_stage == of_version.get(
            number, "Archived" if version.current_stage != "None" else "None"
        )
    assert list(found.values()).count("Production") <= 1
    return found


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.jsonl")


@pytest.fixture
def released(registry, client, ledger):
    """Versions 1 to 3, of which 1 was the champion, 2 is, and 3 waits."""
    make_versions(client, registry.model, 3)
    promote(registry, ledger, 1, who="test", why="first")
    promote(registry, ledger, 2, who="test", why="second")
    return registry


def test_the_first_release_has_no_previous(registry, client, ledger):
    make_versions(client, registry.model, 1)
    client.set_model_version_tag(registry.model, "1", GATE_DIGEST_TAG, "abc")
    done = promote(registry, ledger, 1, who="mia", why="all gates passed")
    assert done.is_changed
    assert aliases(client, registry.model) == {"champion": 1}
    assert stages(client, registry.model) == {1: "Production"}
    intent, closed = ledger.read()
    assert (intent.phase, closed.phase, closed.outcome, intent.id) == ("intent", "done", "completed", closed.id)
    assert (intent.who, intent.why, intent.gate_digest) == ("mia", "all gates passed", "abc")
    assert (intent.from_version, intent.to_version) == (None, 1)


def test_a_release_keeps_the_old_champion_and_archives_the_old_previous(released, client, ledger):
    assert aliases(client, released.model) == {"champion": 2, "previous": 1, "challenger": 3}
    promote(released, ledger, 3, who="test", why="third")
    assert aliases(client, released.model) == {"champion": 3, "previous": 2}
    assert stages(client, released.model) == {1: "Archived", 2: "Archived", 3: "Production"}


def test_a_rollback_clears_previous_and_archives_the_version_left(released, client, ledger):
    done = roll_back(released, ledger, who="test", why="users complain")
    assert (done.from_version, done.to_version) == (2, 1)
    assert aliases(client, released.model) == {"champion": 1, "challenger": 3}
    assert stages(client, released.model) == {1: "Production", 2: "Archived", 3: "Staging"}


def test_a_second_rollback_has_nowhere_to_go(released, client, ledger):
    roll_back(released, ledger, who="test", why="once")
    with pytest.raises(ConfigError, match="no previous version to go back to"):
        roll_back(released, ledger, who="test", why="twice")
    assert aliases(client, released.model)["champion"] == 1
    assert ledger.open_intent(released.model) is None


def test_releasing_the_champion_again_changes_nothing_and_says_so(released, ledger):
    before = ledger.read()
    done = promote(released, ledger, 2, who="test", why="again")
    assert not done.is_changed
    assert done.note == "version 2 is the champion already"
    assert ledger.read() == before


def test_releasing_previous_again_swaps_the_two(released, client, ledger):
    promote(released, ledger, 1, who="test", why="the old one was better")
    assert aliases(client, released.model) == {"champion": 1, "previous": 2, "challenger": 3}
    assert stages(client, released.model) == {1: "Production", 2: "Archived", 3: "Staging"}


@pytest.mark.parametrize("act", [promote, reject])
def test_a_version_that_does_not_exist_leaves_no_trace(released, client, ledger, act):
    before = ledger.read(), aliases(client, released.model)
    with pytest.raises(RegistryError, match="no version 9"):
        act(released, ledger, 9, who="test", why="typing error")
    assert (ledger.read(), aliases(client, released.model)) == before


def test_a_rejected_challenger_is_archived(released, client, ledger):
    reject(released, ledger, 3, who="controller", why="golden answers differ")
    assert aliases(client, released.model) == {"champion": 2, "previous": 1}
    assert stages(client, released.model)[3] == "Archived"
    assert ledger.read()[-1].why == "golden answers differ"


def test_the_champion_cannot_be_rejected(released, ledger):
    with pytest.raises(ConfigError, match=r"version 2 .* is the champion"):
        reject(released, ledger, 2, who="test", why="mistake")


def test_nothing_to_finish(released, ledger):
    assert finish_open_transition(released, ledger) is None


def test_another_models_intent_is_not_touched(registry, released, tracking_uri, client, ledger):
    with pytest.raises(CrashError):
        promote(released, CrashingLedger(ledger.path, Fuse(1)), 3, who="test", why="cut short")
    assert finish_open_transition(Registry(tracking_uri, "another"), ledger) is None
    assert ledger.open_intent(released.model) is not None


OPERATIONS = {
    # what is done: (the act, the champion if it counts, every alias after it)
    "promote": (lambda r, g: promote(r, g, 3, who="t", why="w"), 3, {"champion": 3, "previous": 2}),
    "promote previous": (
        lambda r, g: promote(r, g, 1, who="t", why="w"),
        1,
        {"champion": 1, "previous": 2, "challenger": 3},
    ),
    "roll back": (lambda r, g: roll_back(r, g, who="t", why="w"), 1, {"champion": 1, "challenger": 3}),
    "reject": (lambda r, g: reject(r, g, 3, who="t", why="w"), 2, {"champion": 2, "previous": 1}),
}
BEFORE = {"champion": 2, "previous": 1, "challenger": 3}


def reset(client, model):
    """Put a model's three versions back to BEFORE, by MLflow's client, writing only what differs."""
    found = aliases(client, model)
    for alias, version in BEFORE.items():
        if found.get(alias) != version:
            client.set_registered_model_alias(model, alias, str(version))
    wanted = {version: STAGES[alias] for alias, version in BEFORE.items()}
    for version in client.search_model_versions(f"name = '{model}'"):
        if version.current_stage != wanted[int(version.version)]:
            set_stage(client, model, int(version.version), Stage(wanted[int(version.version)]))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_crash_after_any_write_is_finished_or_undone(operation, tracking_uri, client, tmp_path, released):
    act, champion, after = OPERATIONS[operation]
    outcomes, crashed = [], True
    while crashed:
        reset(client, released.model)
        ledger = Ledger(tmp_path / f"{len(outcomes)}.jsonl")
        fuse = Fuse(len(outcomes) + 1)
        crashing = Registry(tracking_uri, released.model, client=CrashingClient(tracking_uri, fuse))
        try:
            act(crashing, CrashingLedger(ledger.path, fuse))
            crashed = False
        except CrashError:
            finish_open_transition(released, ledger)
        intent, done = ledger.read()
        assert (intent.id, intent.phase, done.id, done.phase) == (done.id, "intent", intent.id, "done")
        is_done = done.outcome == "completed"
        assert aliases(client, released.model) == (after if is_done else BEFORE), f"after {fuse.writes}"
        assert stages(client, released.model)[champion if is_done else 2] == "Production"
        outcomes.append(done.outcome)
    assert len(outcomes) > 4, "the operation makes at least these writes"
    assert outcomes == sorted(outcomes, reverse=True), "undone before the commit point, completed after it"
    assert operation == "reject" or "undone" in outcomes
    assert "completed" in outcomes


def test_a_transition_that_was_undone_succeeds_when_asked_again(released, tracking_uri, client, ledger):
    fuse = Fuse(2)  # the intent, and `previous`
    crashing = Registry(tracking_uri, released.model, client=CrashingClient(tracking_uri, fuse))
    with pytest.raises(CrashError):
        promote(crashing, CrashingLedger(ledger.path, fuse), 3, who="test", why="cut short")
    assert aliases(client, released.model) == {"champion": 2, "previous": 2, "challenger": 3}
    assert promote(released, ledger, 3, who="test", why="again").is_changed
    assert aliases(client, released.model) == {"champion": 3, "previous": 2}
    assert [entry.outcome for entry in ledger.read()[-4:]] == ["", "undone", "", "completed"]


@pytest.mark.parametrize("operation", ["promote", "roll back"])
def test_a_crash_while_finishing_is_finished_by_the_next(operation, tracking_uri, client, tmp_path, registry):
    act, champion, after = OPERATIONS[operation]
    crashes = 0
    make_versions(client, registry.model, 3)
    path = tmp_path / "ledger.jsonl"
    for version in (1, 2):
        promote(registry, Ledger(path), version, who="test", why="before")
    fuse = Fuse(3 if operation == "promote" else 2)  # right after the commit point
    with pytest.raises(CrashError):
        act(
            Registry(tracking_uri, registry.model, client=CrashingClient(tracking_uri, fuse)),
            CrashingLedger(path, fuse),
        )
    assert fuse.writes[-1] == "set_registered_model_alias"
    while Ledger(path).open_intent(registry.model) is not None:
        fuse = Fuse(2)  # a stage and its tag: less would be no progress
        client_of_one_life = CrashingClient(tracking_uri, fuse)
        try:
            finish_open_transition(
                Registry(tracking_uri, registry.model, client=client_of_one_life), CrashingLedger(path, fuse)
            )
        except CrashError:
            crashes += 1
    assert crashes > 1
    assert aliases(client, registry.model) == after
    assert stages(client, registry.model)[champion] == "Production"
