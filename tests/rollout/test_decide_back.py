"""Going back, and what is decided when a request cannot be met or MLflow is away."""

import dataclasses

import pytest

from tasks.evaluation.gates import Verdict
from tasks.registry.record import NO_CHAMPION
from tasks.rollout.decide import decide
from tasks.rollout.facts import (
    Finding,
    KnownVersion,
    Promote,
    Reject,
    RetireInstance,
    RollBack,
    SetRoute,
    StartInstance,
)
from tasks.rollout.phases import Phase
from tasks.rollout.route import Route, Share
from tests.rollout.ticks import (
    CANARY,
    CHAMPION,
    LIMITS,
    NEW,
    SERVED,
    asked,
    facts,
    known,
    route,
    server,
    state_in,
    with_new,
)


def test_a_newer_version_waits_for_a_promotion_that_has_begun():
    newer = with_new(route=route(NEW, CHAMPION), desired=asked("release", 3, request="r2"), requested=known(3))
    assert decide(state_in(Phase.PROMOTING, weight_pct=100), newer, LIMITS).state.phase is Phase.PROMOTING


def test_a_rollback_mid_release_takes_back_the_release_and_not_the_champion():
    asks = with_new(
        previous=known(7), route=route(NEW, CHAMPION), desired=asked("rollback", request="r2"), requested=known(7)
    )
    state = decide(state_in(Phase.PROGRESSING, weight_pct=100), asks, LIMITS).state
    assert state.reason == "Ada asked for a rollback before version 2 was the champion"
    back = dataclasses.replace(asks, route=route(CHAMPION), finding=Finding(Verdict.PASS, "archived"))
    state = decide(state, back, LIMITS).state
    answered = decide(state, dataclasses.replace(back, finding=None), LIMITS).state
    assert (answered.phase, answered.request_id) == (Phase.SUCCEEDED, "r2")
    assert answered.reason == "version 2 was taken back before it was the champion"


WARM = server(1, age_s=500)
BOTH = facts(
    champion=known(2),
    previous=known(1),
    instances=(WARM, NEW),
    route=route(NEW, WARM),
    desired=asked("rollback"),
    requested=known(1),
)


def test_a_rollback_goes_to_the_warm_previous_and_stops_what_is_left():
    state = decide(None, BOTH, LIMITS).state
    state = decide(state, BOTH, LIMITS).state
    decision = decide(state, dataclasses.replace(BOTH, finding=Finding(Verdict.PASS, "ok")), LIMITS)
    assert decision.actions == (SetRoute(route(WARM, NEW)),)
    back = dataclasses.replace(BOTH, route=route(WARM, NEW))
    decision = decide(decision.state, back, LIMITS)
    assert decision.actions == (RollBack("Ada", "because"),)
    told = dataclasses.replace(back, champion=known(1), previous=None)
    decision = decide(decision.state, told, LIMITS)
    assert (decision.state.phase, decision.actions) == (Phase.SUCCEEDED, (SetRoute(route(WARM)),))
    decision = decide(decision.state, dataclasses.replace(told, route=route(WARM)), LIMITS)
    assert decision.actions == (RetireInstance("v2a"),)


def test_a_rollback_starts_a_previous_that_does_not_run():
    cold = dataclasses.replace(BOTH, instances=(NEW,), route=route(NEW))
    decision = decide(None, cold, LIMITS)
    assert (decision.state.phase, decision.actions) == (Phase.BOOTING, (StartInstance(1, "digest-1"),))


def test_a_rollback_that_fails_archives_nothing():
    state = state_in(Phase.VERIFYING, BOTH)
    wrong = dataclasses.replace(BOTH, finding=Finding(Verdict.FAIL, "wrong"))
    decision = decide(state, wrong, LIMITS)
    assert (decision.state.phase, decision.actions) == (Phase.ROLLING_BACK, ())
    assert decide(decision.state, BOTH, LIMITS).state.phase is Phase.FAILED


@pytest.mark.parametrize(
    ("desired", "requested", "problem", "reason"),
    [
        (asked("rollback"), None, "there is no previous version", "there is no previous version"),
        (asked("release", 9), None, "no version 9", "no version 9"),
        (
            asked("release", 2),
            KnownVersion(2, "other"),
            "",
            "Ada asked for the digest digest-2; version 2 has other",
        ),
    ],
    ids=["rollback without previous", "an unknown version", "another digest under the same number"],
)
def test_a_request_that_cannot_be_met_fails_at_once(desired, requested, problem, reason):
    seen = dataclasses.replace(SERVED, desired=desired, requested=requested, request_problem=problem)
    decision = decide(None, seen, LIMITS)
    assert (decision.state.phase, decision.state.reason, decision.actions) == (Phase.FAILED, reason, ())


@pytest.mark.parametrize(
    ("judged_against", "champion", "reason"),
    [
        (None, known(1), ""),
        (None, None, ""),
        (1, known(1), ""),
        (NO_CHAMPION, None, ""),
        (1, known(2), ""),
        (1, known(3), "version 2 was judged against version 1, but version 3 is in production now: run again"),
        (
            NO_CHAMPION,
            known(3),
            "version 2 was judged against no champion, but version 3 is in production now: run again",
        ),
        (1, None, "version 2 was judged against version 1, but no champion is in production now: run again"),
    ],
    ids=[
        "by hand",
        "by hand, the first",
        "against the champion",
        "as the first",
        "asked for again when it is the champion",
        "another run was faster",
        "another run was first",
        "the champion is gone",
    ],
)
def test_a_release_counts_only_against_the_champion_it_was_judged_against(judged_against, champion, reason):
    desired = dataclasses.replace(asked("release", 2), judged_against=judged_against)
    state = decide(None, dataclasses.replace(SERVED, desired=desired, champion=champion), LIMITS).state
    assert (state.phase, state.reason) == (Phase.FAILED if reason else Phase.BOOTING, reason)
    assert state.version == (None if reason else 2), "a version that was not touched is not archived"


def test_a_canary_gets_its_share_and_the_champion_the_rest():
    seen = with_new(finding=Finding(Verdict.PASS, "ok"), previous=known(0), instances=(server(0), CHAMPION, NEW))
    decision = decide(state_in(Phase.VERIFYING), seen, CANARY)
    shares = (route(NEW, CHAMPION).shares[0].targets, route(CHAMPION, server(0)).shares[0].targets)
    assert decision.actions == (SetRoute(Route((Share(10, shares[0]), Share(90, shares[1])))),)


OUT = {"is_registry_reachable": False}


@pytest.mark.parametrize(
    ("phase", "seen", "expected"),
    [
        (Phase.BOOTING, with_new(**OUT), Phase.BOOTING),
        (Phase.VERIFYING, with_new(finding=Finding(Verdict.PASS, "ok"), **OUT), Phase.VERIFYING),
        (Phase.PROGRESSING, with_new(route=route(NEW, CHAMPION), **OUT), Phase.PROGRESSING),
        (Phase.PROMOTING, with_new(route=route(NEW, CHAMPION), **OUT), Phase.PROMOTING),
        (Phase.VERIFYING, with_new(finding=Finding(Verdict.FAIL, "wrong"), **OUT), Phase.ROLLING_BACK),
        (Phase.ROLLING_BACK, with_new(**OUT), Phase.ROLLING_BACK),
    ],
)
def test_without_mlflow_no_step_goes_forward_but_back_it_does(phase, seen, expected):
    weight_pct = 100 if phase in (Phase.PROGRESSING, Phase.PROMOTING) else 0
    decision = decide(state_in(phase, weight_pct=weight_pct), seen, LIMITS)
    assert decision.state.phase is expected
    assert not {type(action) for action in decision.actions} & {Promote, RollBack, Reject}


def test_without_mlflow_a_request_that_is_known_already_is_not_begun():
    assert decide(None, dataclasses.replace(SERVED, **OUT), LIMITS).state is None
