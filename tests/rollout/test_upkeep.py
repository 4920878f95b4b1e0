"""What holds without a release: the champion answers, `previous` is warm, nothing else runs."""

import dataclasses

import pytest

from tasks.rollout.facts import RetireInstance, SetRoute, StartInstance
from tasks.rollout.phases import Phase, ReleaseState
from tasks.rollout.upkeep import decide
from tests.rollout.test_decide import LIMITS, NOW, facts, known, route, server

CHAMPION = server(2)
WARM = server(1)
SERVED = facts(champion=known(2), previous=known(1), instances=(WARM, CHAMPION), route=route(CHAMPION, WARM))
START = StartInstance(2, "digest-2")
WARM_START = StartInstance(1, "digest-1")
DEAD = dataclasses.replace(CHAMPION, is_alive=False, is_ready=False)
UNREADY = dataclasses.replace(CHAMPION, is_ready=False, unready_s=10.5)
SPARE = server(2, name="b", age_s=20)


@pytest.mark.parametrize(
    ("change", "actions"),
    [
        ({}, []),
        ({"instances": (WARM, DEAD)}, [SetRoute(route(WARM)), START]),
        ({"instances": (WARM, dataclasses.replace(DEAD, started_s=NOW - 4))}, [SetRoute(route(WARM))]),
        ({"instances": (WARM, dataclasses.replace(UNREADY, unready_s=9))}, []),
        ({"instances": (WARM, UNREADY)}, [START]),
        ({"instances": (WARM, UNREADY, server(2, name="b", is_ready=False, age_s=3))}, []),
        ({"instances": (WARM, UNREADY, SPARE)}, [SetRoute(route(SPARE, WARM))]),
        (
            {"instances": (WARM, UNREADY, SPARE), "route": route(SPARE, WARM)},
            [RetireInstance("v2a")],
        ),
        ({"instances": (WARM, UNREADY, SPARE), "route": route(SPARE, WARM), "is_route_live": False}, []),
        ({"instances": (CHAMPION,)}, [SetRoute(route(CHAMPION)), WARM_START]),
        ({"instances": ()}, [SetRoute(route()), START]),
        ({"instances": (WARM, CHAMPION, server(0))}, [RetireInstance("v0a")]),
        ({"instances": (WARM, CHAMPION, server(0)), "is_route_live": False}, []),
        ({"instances": (WARM, CHAMPION, server(0, is_stopping=True)), "is_route_live": False}, [RetireInstance("v0a")]),
        ({"champion": None, "previous": None, "instances": (), "route": route(CHAMPION)}, [SetRoute(route())]),
        (
            {"instances": (WARM, dataclasses.replace(CHAMPION, digest="another's")), "route": route(WARM)},
            [START, RetireInstance("v2a")],
        ),
    ],
    ids=[
        "all is well",
        "the champion died: previous answers, and it is started again",
        "it died as soon as it was started: not at once",
        "unready for a moment",
        "unready for too long: another is started",
        "while that one boots",
        "it is ready: it takes over",
        "and the unready one stops",
        "but not before the router confirms",
        "previous is kept warm",
        "a machine that was restarted: nobody is asked in vain",
        "an older version stops",
        "but not before the router confirms (2)",
        "one that stops already is followed",
        "no champion",
        "a server of another model under the same number",
    ],
)
def test_upkeep(change, actions):
    assert list(decide(None, dataclasses.replace(SERVED, **change), LIMITS)) == actions


@pytest.mark.parametrize(
    ("ended", "age_s", "is_started"),
    [(1, 6, True), (2, 6, False), (2, 11, True), (5, 79, False), (5, 81, True), (20, 299, False), (20, 301, True)],
)
def test_a_champion_that_keeps_ending_is_started_less_and_less_often(ended, age_s, is_started):
    dead = tuple(dataclasses.replace(DEAD, id=f"v2{n}", started_s=NOW - age_s) for n in range(ended))
    actions = list(decide(None, dataclasses.replace(SERVED, instances=(WARM, *dead), route=route(WARM)), LIMITS))
    assert (START in actions) is is_started


def test_previous_is_not_started_while_a_release_boots():
    seen = dataclasses.replace(SERVED, instances=(CHAMPION,), route=route(CHAMPION))
    booting = ReleaseState(Phase.BOOTING, version=3, digest="digest-3")
    assert list(decide(booting, seen, LIMITS)) == []


def test_a_server_that_ended_long_ago_is_forgotten():
    dead = dataclasses.replace(DEAD, started_s=NOW - 601)
    assert RetireInstance("v2a") in list(decide(None, dataclasses.replace(SERVED, instances=(WARM, dead)), LIMITS))
