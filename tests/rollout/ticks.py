"""What a tick sees, made briefly: facts, servers, requests, states."""

import dataclasses

from tasks.registry.record import DesiredRelease
from tasks.rollout.decide import decide
from tasks.rollout.facts import (
    Facts,
    InstanceFacts,
    KnownVersion,
    Limits,
)
from tasks.rollout.route import Route, Share, Target

LIMITS = Limits(steps_pct=(100,), max_failed_checks=2, ready_timeout_s=120, unready_grace_s=10, timeout_s=300)
CANARY = dataclasses.replace(LIMITS, steps_pct=(10, 100))
NOW = 1_000.0


def known(version):
    return KnownVersion(version, f"digest-{version}")


def server(version, *, name="a", is_ready=True, age_s=60.0, **more):
    port = 20_000 + version * 10 + ord(name)
    more = {"is_alive": True, "was_ready": is_ready, "log": f"v{version}{name}.log", **more}
    return InstanceFacts(
        f"v{version}{name}", version, f"digest-{version}", port, NOW - age_s, is_ready=is_ready, **more
    )


def route(*servers):
    return Route((Share(100, tuple(Target(s.id, s.version, s.port) for s in servers)),)) if servers else Route()


def asked(action, version=None, *, request="r1"):
    return DesiredRelease(request, action, version, version and f"digest-{version}", "Ada", "because", "2026-01-01")


def facts(**given):
    empty = Facts(
        now_s=NOW,
        champion=None,
        previous=None,
        desired=None,
        requested=None,
        instances=(),
        route=Route(),
        is_route_live=True,
    )
    return dataclasses.replace(empty, **given)


CHAMPION = server(1)
NEW = server(2, age_s=5)
SERVED = facts(
    champion=known(1), instances=(CHAMPION,), route=route(CHAMPION), desired=asked("release", 2), requested=known(2)
)


def begin(seen, limits=LIMITS):
    return decide(None, seen, limits).state


def state_in(phase, seen=SERVED, **more):
    """Return the open release of `seen` as if it had come to `phase`."""
    return dataclasses.replace(begin(seen).enter(phase, NOW), **more)


def with_new(new=NEW, **more):
    return dataclasses.replace(SERVED, **{"instances": (CHAMPION, new), **more})
