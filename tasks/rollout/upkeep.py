"""What must hold whether or not a release is open: who is in the route, which servers run, which stop. Pure."""

from collections.abc import Iterator

from tasks.rollout.facts import (
    Action,
    Facts,
    InstanceFacts,
    KnownVersion,
    Limits,
    RetireInstance,
    SetRoute,
    StartInstance,
)
from tasks.rollout.phases import Phase, ReleaseState
from tasks.rollout.route import Route, Share, Target

FIRST_PAUSE_S = 5.0  # between two starts of a version whose servers end; doubled for each that ended
LONGEST_PAUSE_S = 300.0
FORGET_AFTER_S = 600.0  # an ended server counts for that pause this long


def decide(state: ReleaseState | None, facts: Facts, limits: Limits) -> Iterator[Action]:
    """Yield what keeps the champion answering, `previous` warm and everything else stopped."""
    route = wanted_route(state, facts)
    if route != facts.route:
        yield SetRoute(route)
    yield from starts(state, facts, limits)
    yield from retirements(state, facts, route)


def wanted_route(state: ReleaseState | None, facts: Facts) -> Route:
    """Return the route for the state: each share goes to one version, and to the next where that one fails."""
    stable = [server for known in (facts.champion, facts.previous) if (server := usable(facts, known))]
    target = target_of(state) if state is not None and state.has_traffic else None
    new = usable(facts, target) if target != facts.champion else None
    if new is None:
        return Route((share(100, stable),)) if stable else Route()
    behind = [server for server in stable if server.id != new.id]
    if state is None or state.weight_pct == 100 or not behind:
        return Route((share(100, [new, *behind[:1]]),))
    return Route((share(state.weight_pct, [new, *behind[:1]]), share(100 - state.weight_pct, stable)))


def share(weight_pct: int, servers: list[InstanceFacts]) -> Share:
    """Return a share of the traffic for servers, in the order in which they are tried."""
    return Share(weight_pct, tuple(Target(server.id, server.version, server.port) for server in servers))


def usable(facts: Facts, known: KnownVersion | None) -> InstanceFacts | None:
    """Return the server that requests for a version may go to: a ready one, else the one that has them already."""
    server = pick(facts, known)
    return server if server and (server.is_ready or facts.route.holds(server.id)) else None


def pick(facts: Facts, known: KnownVersion | None) -> InstanceFacts | None:
    """Return a version's best running server: ready before not, in the route before not, then the newest."""
    running = [
        server for server in facts.instances if known_of(server) == known and server.is_alive and not server.is_stopping
    ]
    best_first = sorted(
        running, key=lambda server: (server.is_ready, facts.route.holds(server.id), server.started_s), reverse=True
    )
    return next(iter(best_first), None)


def starts(state: ReleaseState | None, facts: Facts, limits: Limits) -> Iterator[Action]:
    """Yield a start for the champion where no server of it does its work, and, behind it, for `previous`."""
    if facts.champion is None:
        return
    if needs_start(facts.champion, facts, limits):
        yield StartInstance(facts.champion.version, facts.champion.digest)
        return
    champion = pick(facts, facts.champion)
    is_calm = (state is None or state.is_final) and champion is not None and champion.is_ready
    if is_calm and facts.previous is not None and needs_start(facts.previous, facts, limits):
        yield StartInstance(facts.previous.version, facts.previous.digest)


def needs_start(known: KnownVersion, facts: Facts, limits: Limits) -> bool:
    """Whether no server of a version is ready or on its way, and it has not ended too often for another yet."""
    servers = [server for server in facts.instances if known_of(server) == known and not server.is_stopping]
    broken = [server for server in servers if not server.is_alive or is_failing(server, facts, limits)]
    if len(broken) < len(servers):
        return False
    if not broken:
        return True
    pause_s = min(FIRST_PAUSE_S * 2.0 ** (len(broken) - 1), LONGEST_PAUSE_S)
    return facts.now_s - max(server.started_s for server in broken) > pause_s


def is_failing(server: InstanceFacts, facts: Facts, limits: Limits) -> bool:
    """Whether a running server has been unready for longer than it may: while it boots it may for longer."""
    is_booted = server.was_ready or facts.now_s - server.started_s > limits.ready_timeout_s
    return not server.is_ready and server.unready_s > (limits.unready_grace_s if is_booted else limits.ready_timeout_s)


def retirements(state: ReleaseState | None, facts: Facts, route: Route) -> Iterator[Action]:
    """Yield the servers that nothing needs; one that requests may still reach waits for the router."""
    wanted = {facts.champion, facts.previous}
    if state is not None and not state.is_final and state.phase is not Phase.ROLLING_BACK:
        wanted.add(target_of(state))
    for server in facts.instances:
        best = pick(facts, known_of(server))
        is_spare = known_of(server) not in wanted or (best is not None and best.is_ready and best.id != server.id)
        is_old = facts.now_s - server.started_s > FORGET_AFTER_S
        is_due = is_spare and is_unreachable(server, facts, route) if server.is_alive else is_spare or is_old
        if server.is_stopping or is_due:
            yield RetireInstance(server.id)


def is_unreachable(server: InstanceFacts, facts: Facts, route: Route) -> bool:
    """Whether the router has confirmed a route without this server, and the next has none of it either."""
    return facts.is_route_live and not facts.route.holds(server.id) and not route.holds(server.id)


def known_of(server: InstanceFacts) -> KnownVersion:
    """Return what a server serves."""
    return KnownVersion(server.version, server.digest)


def target_of(state: ReleaseState) -> KnownVersion | None:
    """Return what a release brings to traffic, None where its request named nothing that exists."""
    if state.version is None or state.digest is None:
        return None
    return KnownVersion(state.version, state.digest)
