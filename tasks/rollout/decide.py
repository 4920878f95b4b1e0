"""One tick's decision: the next state of the release, and the actions that bring the world towards it. Pure."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.evaluation.gates import Verdict
from tasks.registry.record import NO_CHAMPION, DesiredRelease
from tasks.rollout import upkeep
from tasks.rollout.facts import (
    Action,
    CheckGolden,
    Facts,
    Finding,
    InstanceFacts,
    KnownVersion,
    Limits,
    Promote,
    Reject,
    RollBack,
    StartInstance,
)
from tasks.rollout.phases import Phase, ReleaseState, advance


@dataclass(frozen=True)
class Decision:
    """What to write, then what to do."""

    state: ReleaseState | None
    actions: tuple[Action, ...]


def decide(state: ReleaseState | None, facts: Facts, limits: Limits) -> Decision:
    """Return the next state, and what to do in it."""
    before, state = state, next_state(state, facts, limits)
    if state is not None and before is not None and state.phase is not before.phase:
        facts = dataclasses.replace(facts, finding=None)  # it was about the phase before
    actions = [*release_actions(state, facts), *upkeep.decide(state, facts, limits)]
    return Decision(state, tuple(dict.fromkeys(actions)))


def next_state(state: ReleaseState | None, facts: Facts, limits: Limits) -> ReleaseState | None:
    """Return the release's state after this look; without MLflow it holds, or takes traffic away."""
    if state is None or state.is_final:
        return begin(state, facts)
    if state.phase is Phase.ROLLING_BACK:
        return finish_rolling_back(state, facts)
    if state.phase is Phase.PROMOTING:
        return finish_promoting(state, facts, limits)
    if reason := reason_to_end(state, facts, limits):
        return take_back(state, facts, reason)
    return follow(state, judge(state, facts, limits), facts, limits)


def follow(state: ReleaseState, finding: Finding, facts: Facts, limits: Limits) -> ReleaseState:
    """Return the state after a finding on its new version."""
    if not facts.is_registry_reachable and finding.verdict is Verdict.PASS:
        return state
    after = advance(state, finding.verdict, steps=limits.steps_pct, max_failed_checks=limits.max_failed_checks)
    if after.phase is Phase.ROLLING_BACK:
        return take_back(after, facts, finding.reason)
    return after if after.phase is state.phase else after.enter(after.phase, facts.now_s)


def begin(last: ReleaseState | None, facts: Facts) -> ReleaseState | None:
    """Return the first state for a request that has not been answered, or the last release's."""
    desired = facts.desired
    if desired is None or (last is not None and last.request_id == desired.id):
        return last
    if not facts.is_registry_reachable:
        return last
    state = ReleaseState(
        Phase.BOOTING, request_id=desired.id, action=desired.action, who=desired.who, why=desired.why
    ).enter(Phase.BOOTING, facts.now_s)
    if last is not None and desired.action == "rollback" and last.ended_by == desired.id:
        reason = f"version {last.version} was taken back before it was the champion"
        return state.enter(Phase.SUCCEEDED, facts.now_s, reason)
    if facts.requested is None:
        return state.enter(Phase.FAILED, facts.now_s, facts.request_problem)
    if problem := reason_to_refuse(desired, facts.requested, facts.champion):
        return state.enter(Phase.FAILED, facts.now_s, problem)
    return dataclasses.replace(state, version=facts.requested.version, digest=facts.requested.digest)


def reason_to_refuse(desired: DesiredRelease, requested: KnownVersion, champion: KnownVersion | None) -> str:
    """Return why a request does not mean what is there: another bundle, or another champion than it was judged by."""
    if desired.digest not in (None, requested.digest):
        asked = f"{desired.who} asked for the digest {desired.digest}"
        return f"{asked}; version {requested.version} has {requested.digest}"
    now = champion.version if champion else NO_CHAMPION
    if desired.judged_against is None or now in (desired.judged_against, desired.version):
        return ""
    judged, serves = (f"version {number}" if number else "no champion" for number in (desired.judged_against, now))
    return f"version {desired.version} was judged against {judged}, but {serves} is in production now: run again"


def reason_to_end(state: ReleaseState, facts: Facts, limits: Limits) -> str:
    """Return why an unpromoted release must not go on, whatever its server says; empty where nothing is wrong."""
    desired = facts.desired
    if desired is not None and desired.id != state.request_id:
        what = "a rollback" if desired.action == "rollback" else f"version {desired.version}"
        return f"{desired.who} asked for {what} before version {state.version} was the champion"
    if facts.now_s - state.started_s > limits.timeout_s:
        return f"it was not the champion {limits.timeout_s:g} s after it was asked for (phase {state.phase})"
    return ""


def judge(state: ReleaseState, facts: Facts, limits: Limits) -> Finding:
    """Judge the new version's server by what the state's phase asks of it."""
    if facts.finding is not None:
        return facts.finding
    server = upkeep.pick(facts, upkeep.target_of(state))
    if server is None:
        return judge_absence(state, facts)
    if state.phase is Phase.BOOTING:
        return judge_boot(server, facts, limits)
    if not server.is_ready:
        return Finding(Verdict.FAIL, f"version {state.version} was ready and is not any more, see {server.log}")
    return judge_traffic(state, server, facts)


def judge_traffic(state: ReleaseState, server: InstanceFacts, facts: Facts) -> Finding:
    """Judge a ready server by whether what it waits for has happened."""
    if state.phase is Phase.VERIFYING:
        return Finding(Verdict.INCONCLUSIVE, "its golden answers are not checked yet")
    if facts.route.holds(server.id) and facts.is_route_live:
        return Finding(Verdict.PASS, "it is ready and in the route")
    return Finding(Verdict.INCONCLUSIVE, "the router does not send it requests yet")


def judge_absence(state: ReleaseState, facts: Facts) -> Finding:
    """Judge a version none of whose servers runs: it has not been started yet, or it ended."""
    ended = [
        instance
        for instance in facts.instances
        if upkeep.known_of(instance) == upkeep.target_of(state)
        and instance.has_begun
        and not instance.is_alive
        and instance.started_s >= state.started_s
    ]
    if not ended:
        return Finding(Verdict.INCONCLUSIVE, "its server is not started yet")
    return Finding(Verdict.FAIL, f"version {state.version}'s server ended in phase {state.phase}, see {ended[-1].log}")


def judge_boot(server: InstanceFacts, facts: Facts, limits: Limits) -> Finding:
    """Judge a server that starts: ready in time, not yet, or too late."""
    if server.is_ready:
        return Finding(Verdict.PASS, "it is ready")
    if facts.now_s - server.started_s > limits.ready_timeout_s:
        reason = f"it was not ready {limits.ready_timeout_s:g} s after its start, see {server.log}"
        return Finding(Verdict.FAIL, reason)
    return Finding(Verdict.INCONCLUSIVE, "it is starting")


def finish_promoting(state: ReleaseState, facts: Facts, limits: Limits) -> ReleaseState:
    """Succeed once the registry says champion; give up when it does not in time."""
    if not facts.is_registry_reachable:
        return state  # whether the champion was changed is not known
    if is_champion(state, facts):
        return state.enter(Phase.SUCCEEDED, facts.now_s, f"version {state.version} is the champion")
    if upkeep.pick(facts, upkeep.target_of(state)) is None:
        return take_back(state, facts, f"version {state.version}'s server ended before it was the champion")
    if facts.now_s - state.started_s > limits.timeout_s:
        detail = f": {facts.finding.reason}" if facts.finding else ""
        return take_back(state, facts, f"the registry did not make it champion within {limits.timeout_s:g} s{detail}")
    return state


def take_back(state: ReleaseState, facts: Facts, reason: str) -> ReleaseState:
    """Return the state in which the version's traffic goes back."""
    return dataclasses.replace(state, weight_pct=0).enter(Phase.ROLLING_BACK, facts.now_s, reason)


def finish_rolling_back(state: ReleaseState, facts: Facts) -> ReleaseState:
    """Fail, for good, once no request goes to the version and the registry knows why."""
    if facts.desired is not None and facts.desired.id != state.request_id:
        state = dataclasses.replace(state, ended_by=facts.desired.id)
    if has_requests(state, facts) or is_to_be_rejected(state, facts):
        return state
    return state.enter(Phase.FAILED, facts.now_s)


def has_requests(state: ReleaseState, facts: Facts) -> bool:
    """Whether the route still holds a version that is neither the champion nor `previous`."""
    is_kept = upkeep.target_of(state) in (facts.champion, facts.previous)
    return not is_kept and any(target.version == state.version for target in facts.route.targets)


def is_to_be_rejected(state: ReleaseState, facts: Facts) -> bool:
    """Whether the version is still to be archived: no rollback's, not the champion, and out of the route."""
    is_release = state.action == "release" and not is_champion(state, facts)
    return is_release and facts.finding is None and not has_requests(state, facts)


def release_actions(state: ReleaseState | None, facts: Facts) -> Iterator[Action]:
    """Yield what the open release needs beyond the upkeep of servers and route."""
    if state is None or state.version is None or state.digest is None:
        return
    server = upkeep.pick(facts, upkeep.target_of(state))
    if state.phase is Phase.BOOTING and server is None and facts.finding is None:
        yield StartInstance(state.version, state.digest)
    elif state.phase is Phase.VERIFYING and server is not None and facts.finding is None:
        yield CheckGolden(server.id)
    elif state.phase is Phase.PROMOTING and facts.is_registry_reachable and not is_champion(state, facts):
        is_rollback = state.action == "rollback"
        yield RollBack(state.who, state.why) if is_rollback else Promote(state.version, state.who, state.why)
    elif state.phase is Phase.ROLLING_BACK and facts.is_registry_reachable and is_to_be_rejected(state, facts):
        yield Reject(state.version, state.who, state.reason)


def is_champion(state: ReleaseState, facts: Facts) -> bool:
    """Whether the registry names the release's version as champion."""
    return facts.champion is not None and facts.champion == upkeep.target_of(state)
