"""The controller: look, decide, write, act, again. The only one that touches router, servers and aliases."""

import dataclasses
import logging
import threading
import time

from tasks.errors import RegistryError, ReleaseError
from tasks.registry.registry import Registry
from tasks.rollout.act import Actor
from tasks.rollout.decide import Decision, decide
from tasks.rollout.engines.process import ProcessEngine
from tasks.rollout.facts import (
    Action,
    Facts,
    Finding,
    Limits,
    Promote,
    Reject,
    RetireInstance,
    RollBack,
    SetRoute,
    StartInstance,
)
from tasks.rollout.journal import Journal, describe
from tasks.rollout.lease import Lease
from tasks.rollout.observe import Observer, RegistryWatch, ServerWatch
from tasks.rollout.phases import FINAL, Phase, ReleaseState
from tasks.rollout.router import local_router
from tasks.settings import Settings

log = logging.getLogger(__name__)

REGISTRY_PAUSE_S = 1.0  # between two reads of the registry while no release is open
OUTAGE_PAUSE_S = 5.0  # ... and while MLflow is away: an attempt takes seconds, in which nobody looks after the servers
_TAKING_AWAY = FINAL | {Phase.ROLLING_BACK}


class Controller:
    """The tick loop over one project's home, in the name of a lease.

    Raises:
        ReleaseError: the state that an earlier controller left is damaged.
        RegistryError: the address of MLflow is none.
    """

    def __init__(self, settings: Settings, lease: Lease, engine: ProcessEngine) -> None:
        self._settings = settings
        self._lease = lease
        self._limits = limits_of(settings)
        registry = Registry(settings.tracking_uri, settings.model.name)
        router = local_router(settings)
        self._journal = Journal(settings.home, registry, lease.token)
        watch = RegistryWatch(registry, self._journal.registry_facts)
        self._observer = Observer(watch, ServerWatch(engine), router)
        self._actor = Actor(settings, registry, engine, router, lease)
        self._finding: Finding | None = None
        self._error = ""
        self._known_errors: set[str] = set()
        self._new_errors: set[str] = set()
        self._is_registry_repaired = False
        self._next_registry_look_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop` is set; the servers go on.

        Raises:
            LeaseError: another controller has taken over.
        """
        while not stop.is_set():
            if not self.tick():
                stop.wait(self._settings.release.tick_s)

    def tick(self) -> bool:
        """Look, decide, write, act once; True when something has changed that the next look should see at once.

        Raises:
            LeaseError: another controller has taken over.
        """
        self._lease.check()
        self._error = ""
        self._known_errors, self._new_errors = self._new_errors, set()
        try:
            self._repair_registry()
            facts = self._look()
            if facts is None:
                self._journal.report({"last_error": self._error, "mlflow_reachable": False})
                return False
            decision = self._decide(facts)
            is_changed = self._adopt(decision.state)
            is_changed = self._act(decision.actions) or is_changed
            self._report(facts)
        except (ReleaseError, OSError) as error:
            self._note(error)
            return False
        return is_changed

    def _repair_registry(self) -> None:
        """Finish what an earlier controller, or an outage, left half done in the registry, and the tag behind."""
        if self._observer.registry.problem:
            return
        try:
            if not self._is_registry_repaired:
                self._actor.finish_open_transition()
                self._journal.recall()
                self._is_registry_repaired = True
            self._journal.catch_up()
        except RegistryError as error:
            self._note(error)

    def _look(self) -> Facts | None:
        now_s = time.time()
        is_open = self._journal.state is not None and not self._journal.state.is_final
        registry = self._observer.registry
        with_registry = (is_open and not registry.problem) or now_s >= self._next_registry_look_s
        facts = self._observer.look(now_s, self._finding, with_registry=with_registry)
        if with_registry:
            self._next_registry_look_s = time.time() + (OUTAGE_PAUSE_S if registry.problem else REGISTRY_PAUSE_S)
        self._error = self._error or registry.problem
        return facts

    def _decide(self, facts: Facts) -> Decision:
        """Decide, and write the tag before the act: without MLflow there is no step forward, only back."""
        state = self._journal.state
        decision = decide(state, facts, self._limits)
        if decision.state is None or decision.state == state:
            return decision
        try:
            self._journal.write_tag(decision.state)
        except RegistryError as error:
            self._note(error)
            if decision.state.phase not in _TAKING_AWAY:
                return decide(state, dataclasses.replace(facts, is_registry_reachable=False), self._limits)
        return decision

    def _adopt(self, state: ReleaseState | None) -> bool:
        """Write a new state to the disk before anything is done about it; True if it is another."""
        before = self._journal.state
        if state is None or state == before:
            return False
        self._journal.adopt(state)
        if before is None or (state.phase, state.request_id) != (before.phase, before.request_id):
            self._finding = None
            extra = {"version": state.version, "request": state.request_id, "reason": state.reason}
            log.info("release %s", state.phase, extra=extra)
        return True

    def _act(self, actions: tuple[Action, ...]) -> bool:
        """Do what can be done; True if the next look should see at once what came of it."""
        has_news = False
        for action in actions:
            try:
                finding = self._actor.act(action)
            except (RegistryError, ReleaseError, OSError) as error:
                self._note(error)
                if isinstance(action, Promote | RollBack | Reject):
                    self._is_registry_repaired = False  # it may have passed its commit point
                continue
            if not isinstance(action, RetireInstance):
                log.info("done: %s", action)
            if finding is not None and self._is_releases(action):
                self._finding = finding
            elif finding is not None:
                self._note(ReleaseError(finding.reason))
            has_news = has_news or isinstance(action, SetRoute) or self._finding is not None
        return has_news

    def _is_releases(self, action: Action) -> bool:
        """Whether an action is the open release's own, and not the upkeep of champion and `previous`."""
        state = self._journal.state
        if not isinstance(action, StartInstance):
            return True
        return state is not None and state.phase is Phase.BOOTING and state.version == action.version

    def _note(self, error: Exception) -> None:
        """Keep an error for the state file, and log it unless the tick before had it too."""
        self._error = str(error)
        if self._error not in self._known_errors:
            log.error("%s", error)
        self._new_errors.add(self._error)

    def _report(self, facts: Facts) -> None:
        known = self._observer.registry.last
        if known is not None:
            parts = describe(facts, known, self._settings.model.name, self._settings.router_url)
            is_reachable = facts.is_registry_reachable
            self._journal.report({**parts, "last_error": self._error, "mlflow_reachable": is_reachable})


def limits_of(settings: Settings) -> Limits:
    """Return the settings that decide."""
    release = settings.release
    return Limits(
        steps_pct=release.steps_pct,
        max_failed_checks=release.max_failed_checks,
        ready_timeout_s=release.ready_timeout_s,
        unready_grace_s=release.unready_grace_s,
        timeout_s=release.timeout_s,
    )
