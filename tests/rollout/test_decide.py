"""Each story is a row of ticks: what is seen, and what is decided about it."""

import dataclasses

import pytest

from tasks.evaluation.gates import Verdict
from tasks.rollout.decide import decide
from tasks.rollout.facts import (
    CheckGolden,
    Finding,
    Promote,
    Reject,
    RetireInstance,
    SetRoute,
    StartInstance,
)
from tasks.rollout.phases import Phase
from tests.rollout.ticks import (
    CHAMPION,
    LIMITS,
    NEW,
    NOW,
    SERVED,
    asked,
    begin,
    facts,
    known,
    route,
    server,
    state_in,
    with_new,
)


def test_nothing_asked_and_nothing_there_is_nothing_to_do():
    decision = decide(None, facts(), LIMITS)
    assert (decision.state, decision.actions) == (None, ())


def test_a_first_release_step_by_step():
    first = server(1, age_s=1)
    seen = facts(desired=asked("release", 1), requested=known(1))
    decision = decide(None, seen, LIMITS)
    assert (decision.state.phase, decision.actions) == (Phase.BOOTING, (StartInstance(1, "digest-1"),))

    booting = dataclasses.replace(seen, instances=(server(1, is_ready=False, age_s=1),))
    decision = decide(decision.state, booting, LIMITS)
    assert (decision.state.phase, decision.actions) == (Phase.BOOTING, ())

    ready = dataclasses.replace(seen, instances=(first,))
    decision = decide(decision.state, ready, LIMITS)
    assert (decision.state.phase, decision.actions) == (Phase.VERIFYING, (CheckGolden("v1a"),))

    decision = decide(decision.state, dataclasses.replace(ready, finding=Finding(Verdict.PASS, "ok")), LIMITS)
    assert (decision.state.phase, decision.state.weight_pct) == (Phase.PROGRESSING, 100)
    assert decision.actions == (SetRoute(route(first)),)

    routed = dataclasses.replace(ready, route=route(first))
    decision = decide(decision.state, routed, LIMITS)
    assert (decision.state.phase, decision.actions) == (Phase.PROMOTING, (Promote(1, "Ada", "because"),))

    decision = decide(decision.state, dataclasses.replace(routed, champion=known(1)), LIMITS)
    assert (decision.state.phase, decision.actions) == (Phase.SUCCEEDED, ())
    assert [phase for phase, _ in decision.state.times] == [
        Phase.BOOTING,
        Phase.VERIFYING,
        Phase.PROGRESSING,
        Phase.PROMOTING,
        Phase.SUCCEEDED,
    ]


@pytest.mark.parametrize(
    ("phase", "seen", "expected", "actions"),
    [
        (Phase.BOOTING, SERVED, Phase.BOOTING, [StartInstance(2, "digest-2")]),
        (Phase.BOOTING, with_new(server(2, is_ready=False, age_s=5)), Phase.BOOTING, []),
        (
            Phase.BOOTING,
            dataclasses.replace(SERVED, finding=Finding(Verdict.FAIL, "model.pt was altered")),
            Phase.ROLLING_BACK,
            [Reject(2, "Ada", "model.pt was altered")],
        ),
        (
            Phase.BOOTING,
            with_new(server(2, is_ready=False, is_alive=False, age_s=-1)),
            Phase.ROLLING_BACK,
            [Reject(2, "Ada", "version 2's server ended in phase booting, see v2a.log"), RetireInstance("v2a")],
        ),
        (
            Phase.BOOTING,
            with_new(server(2, is_ready=False, is_alive=False, has_begun=False, age_s=-1)),
            Phase.BOOTING,
            [StartInstance(2, "digest-2")],
        ),
        (
            Phase.BOOTING,
            with_new(server(2, is_ready=False, age_s=121)),
            Phase.ROLLING_BACK,
            [Reject(2, "Ada", "it was not ready 120 s after its start, see v2a.log"), RetireInstance("v2a")],
        ),
        (
            Phase.VERIFYING,
            with_new(finding=Finding(Verdict.FAIL, "golden/003.jpg differs")),
            Phase.ROLLING_BACK,
            [Reject(2, "Ada", "golden/003.jpg differs"), RetireInstance("v2a")],
        ),
        (
            Phase.VERIFYING,
            with_new(finding=Finding(Verdict.PASS, "ok")),
            Phase.PROGRESSING,
            [SetRoute(route(NEW, CHAMPION))],
        ),
        (Phase.PROGRESSING, with_new(route=route(NEW, CHAMPION), is_route_live=False), Phase.PROGRESSING, []),
        (
            Phase.PROGRESSING,
            with_new(route=route(NEW, CHAMPION)),
            Phase.PROMOTING,
            [Promote(2, "Ada", "because")],
        ),
        (
            Phase.PROGRESSING,
            with_new(server(2, is_alive=False, is_ready=False, age_s=-1), route=route(NEW, CHAMPION)),
            Phase.PROGRESSING,
            [SetRoute(route(CHAMPION))],
        ),
        (
            Phase.PROMOTING,
            with_new(route=route(NEW, CHAMPION), champion=known(2), previous=known(1)),
            Phase.SUCCEEDED,
            [],
        ),
        (Phase.ROLLING_BACK, with_new(route=route(NEW, CHAMPION)), Phase.ROLLING_BACK, [SetRoute(route(CHAMPION))]),
        (
            Phase.ROLLING_BACK,
            with_new(finding=Finding(Verdict.PASS, "archived")),
            Phase.FAILED,
            [RetireInstance("v2a")],
        ),
    ],
    ids=[
        "start the new server",
        "wait for it",
        "a bundle that is refused",
        "it ends while it boots",
        "it ended with the controller that started it",
        "it does not become ready",
        "wrong golden answers",
        "right golden answers",
        "the router is slow: hold",
        "all traffic and healthy",
        "it ends with traffic: first look",
        "the registry says champion",
        "take the traffic back",
        "archived and stopped",
    ],
)
def test_a_release_beside_a_champion(phase, seen, expected, actions):
    weight_pct = 100 if phase in (Phase.PROGRESSING, Phase.PROMOTING) else 0
    decision = decide(state_in(phase, weight_pct=weight_pct), seen, LIMITS)
    assert (decision.state.phase, list(decision.actions)) == (expected, actions)


def test_a_server_that_ends_with_traffic_is_taken_back_at_the_second_look():
    seen = with_new(server(2, is_alive=False, is_ready=False, age_s=-1), route=route(CHAMPION))
    state = state_in(Phase.PROGRESSING, weight_pct=100)
    for _ in range(LIMITS.max_failed_checks):
        state = decide(state, seen, LIMITS).state
    assert (state.phase, state.reason) == (
        Phase.ROLLING_BACK,
        "version 2's server ended in phase progressing, see v2a.log",
    )


def test_a_release_that_takes_too_long_is_taken_back_with_its_phase():
    state = begin(dataclasses.replace(SERVED, now_s=NOW - 301))
    decision = decide(state, SERVED, LIMITS)
    assert decision.state.phase is Phase.ROLLING_BACK
    assert decision.state.reason == "it was not the champion 300 s after it was asked for (phase booting)"


def test_a_promotion_that_the_registry_does_not_take_ends_too():
    state = begin(dataclasses.replace(SERVED, now_s=NOW - 301)).enter(Phase.PROMOTING, NOW - 299)
    decision = decide(state, with_new(route=route(NEW, CHAMPION), finding=Finding(Verdict.FAIL, "refused")), LIMITS)
    assert (decision.state.phase, decision.actions[0]) == (Phase.ROLLING_BACK, SetRoute(route(CHAMPION)))
    assert decision.state.reason == "the registry did not make it champion within 300 s: refused"


def test_a_server_that_ends_before_the_promotion_counts_is_not_promoted():
    seen = with_new(server(2, is_alive=False, is_ready=False), route=route(NEW, CHAMPION))
    decision = decide(state_in(Phase.PROMOTING, weight_pct=100), seen, LIMITS)
    assert (decision.state.phase, decision.actions[0]) == (Phase.ROLLING_BACK, SetRoute(route(CHAMPION)))
    assert decision.state.reason == "version 2's server ended before it was the champion"


def test_a_failed_release_stays_failed_until_it_is_asked_for_again():
    failed = state_in(Phase.FAILED)
    decision = decide(failed, SERVED, LIMITS)
    assert (decision.state, decision.actions) == (failed, ())
    again = dataclasses.replace(SERVED, desired=asked("release", 2, request="r2"))
    assert decide(failed, again, LIMITS).state.phase is Phase.BOOTING


def test_the_champion_asked_for_again_is_verified_and_stays():
    seen = dataclasses.replace(SERVED, desired=asked("release", 1), requested=known(1))
    state, phases = None, []
    for finding in (None, None, Finding(Verdict.PASS, "ok"), None, None):
        decision = decide(state, dataclasses.replace(seen, finding=finding), LIMITS)
        state = decision.state
        phases.append(state.phase)
        assert not {type(action) for action in decision.actions} - {CheckGolden}, "the champion is left alone"
    assert phases == [Phase.BOOTING, Phase.VERIFYING, Phase.PROGRESSING, Phase.PROMOTING, Phase.SUCCEEDED]


def test_the_champion_asked_for_again_and_failing_is_neither_stopped_nor_archived():
    seen = dataclasses.replace(SERVED, desired=asked("release", 1), requested=known(1))
    state = state_in(Phase.VERIFYING, seen)
    decision = decide(state, dataclasses.replace(seen, finding=Finding(Verdict.FAIL, "wrong")), LIMITS)
    assert (decision.state.phase, decision.actions) == (Phase.ROLLING_BACK, ())
    assert decide(decision.state, seen, LIMITS).state.phase is Phase.FAILED


def test_a_newer_version_ends_the_release_and_then_begins():
    newer = with_new(route=route(NEW, CHAMPION), desired=asked("release", 3, request="r2"), requested=known(3))
    decision = decide(state_in(Phase.PROGRESSING, weight_pct=100), newer, LIMITS)
    assert decision.state.phase is Phase.ROLLING_BACK
    assert decision.state.reason == "Ada asked for version 3 before version 2 was the champion"
    back = dataclasses.replace(newer, route=route(CHAMPION), finding=Finding(Verdict.PASS, "archived"))
    ended = decide(decision.state, back, LIMITS).state
    assert (ended.phase, ended.request_id, ended.ended_by) == (Phase.FAILED, "r1", "r2")
    begun = decide(ended, dataclasses.replace(back, finding=None), LIMITS).state
    assert (begun.phase, begun.version, begun.request_id) == (Phase.BOOTING, 3, "r2")
