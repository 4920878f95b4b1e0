"""The controller ends after each of its writes in turn; the next one finishes, and there is exactly one champion."""

import pytest
from mlflow import MlflowClient

from tasks.registry.ledger import Ledger
from tasks.rollout.instances import InstanceRecords
from tasks.rollout.journal import Journal
from tasks.rollout.router import Router
from tests.registry.crashing import WRITES, CrashError, Fuse
from tests.rollout.registering import ask
from tests.rollout.world import put


def crashing(fuse, patch):
    """Make every write of the controller burn the fuse after it was done."""

    def wrap(owner, name):
        found = getattr(owner, name)

        def write(*args, **kwargs):
            answer = found(*args, **kwargs)
            fuse.burn(f"{owner.__name__}.{name}")
            return answer

        patch.setattr(owner, name, write)

    for owner, names in {
        Journal: ("adopt",),
        Router: ("_write",),
        InstanceRecords: ("write",),
        Ledger: ("append",),
        MlflowClient: WRITES,
    }.items():
        for name in names:
            wrap(owner, name)


def crash_at(world, limit, request):
    """Tick until the fuse crashes the controller, or the request is answered; return the write it crashed after."""
    fuse = Fuse(limit)
    with pytest.MonkeyPatch.context() as patch:
        crashing(fuse, patch)
        try:
            world.answer(request)
        except CrashError as crash:
            world.restart()
            return str(crash)
    return None


def crash_at_each_write(world, begin, check, *, step=1):
    """Crash at one write after another until there are no more: after each, the next controller finishes.

    `step` leaves writes out, for time: a release shares most of them. `begin()` asks for something and
    returns the request's id; `check(outcome, crash)` looks at what became of it.
    """
    for limit in range(1, 60, step):
        request = begin()
        crash = crash_at(world, limit, request)
        outcome = world.answer(request)
        world.settle()
        check(outcome, crash)
        view = world.registry.view()
        assert world.predict().headers["x-evergreen-version"] == str(view.champion), crash
        assert [version.stage for version in world.registry.versions()].count("Production") == 1, crash
        if crash is None:
            return limit
    raise AssertionError("there is always one more write")


def test_a_controller_killed_after_any_write_of_a_release_converges(world, champion):
    asked = []

    def begin():
        version = world.register()
        asked.append((version.version, world.registry.view().champion))
        return ask(world.registry, "release", version)

    def check(outcome, crash):
        view = world.registry.view()
        assert outcome.is_success, crash
        assert (view.champion, view.previous) == asked[-1], crash

    assert crash_at_each_write(world, begin, check) > 15


def test_a_controller_killed_after_any_write_of_a_failing_release_converges(world, champion):
    asked = []

    def begin():
        version = world.register()
        put("wrong")(world, version)
        asked.append(version.version)
        return ask(world.registry, "release", version)

    def check(outcome, crash):
        assert not outcome.is_success, crash
        assert "a probability differs" in outcome.reason, crash
        assert world.registry.view().champion == champion.version, crash
        assert world.registry.version(asked[-1]).stage == "Archived", crash

    assert crash_at_each_write(world, begin, check, step=3) > 10


def test_a_controller_killed_after_any_write_of_a_rollback_converges(world, champion):
    asked = []

    def begin():
        version = world.register()
        assert world.release(version).is_success
        world.settle()
        asked.append(world.registry.view().previous)
        return ask(world.registry, "rollback")

    def check(outcome, crash):
        view = world.registry.view()
        assert outcome.is_success, crash
        assert (view.champion, view.previous) == (asked[-1], None), crash

    assert crash_at_each_write(world, begin, check, step=3) > 10
