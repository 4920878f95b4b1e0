"""Looking: what the registry says, which servers run and are ready, and where the router sends requests."""

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tasks.errors import RegistryError
from tasks.registry.record import ACCURACY_TAG, NO_PREVIOUS, DesiredRelease, NotRegisteredError, RegistryView
from tasks.registry.registry import Registry
from tasks.rollout.engines.process import ProcessEngine
from tasks.rollout.facts import Facts, Finding, InstanceFacts, KnownVersion
from tasks.rollout.instances import Instance
from tasks.rollout.router import Router

log = logging.getLogger(__name__)

_PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class RegistryFacts:
    """The registry's part of the facts, as it was when it last answered; `accuracy` is the champion's."""

    champion: KnownVersion | None = None
    previous: KnownVersion | None = None
    desired: DesiredRelease | None = None
    requested: KnownVersion | None = None
    request_problem: str = ""
    accuracy: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "RegistryFacts":
        """Return the facts that `to_json` wrote."""
        versions = {
            key: KnownVersion(**values[key]) if values[key] else None for key in ("champion", "previous", "requested")
        }
        desired = DesiredRelease(**values["desired"]) if values["desired"] else None
        return cls(**{**values, **versions, "desired": desired})


class RegistryWatch:
    """Reads the registry and remembers what it said; an outage is told apart from "no champion yet"."""

    def __init__(self, registry: Registry, last: RegistryFacts | None) -> None:
        self._registry = registry
        self._versions: dict[int, tuple[KnownVersion, float | None]] = {}
        self.last = last
        self.problem = ""

    def look(self) -> RegistryFacts | None:
        """Return what the registry says, or said last where it cannot be reached; None if it never answered."""
        try:
            self.last = self._read(self._registry.view())
            self.problem = ""
        except RegistryError as error:
            if not self.problem:
                log.warning("going on with what was known last: %s", error)
            self.problem = str(error)
        return self.last

    def _read(self, view: RegistryView) -> RegistryFacts:
        champion, accuracy = self._version(view.champion)
        previous, _ = self._version(view.previous)
        facts = RegistryFacts(champion, previous, view.desired, accuracy=accuracy)
        if view.desired is None:
            return facts
        if view.desired.action == "rollback":
            return dataclasses.replace(facts, requested=previous, request_problem="" if previous else NO_PREVIOUS)
        try:
            requested, _ = self._version(view.desired.version)
        except NotRegisteredError as error:
            return dataclasses.replace(facts, request_problem=str(error))
        return dataclasses.replace(facts, requested=requested)

    def _version(self, number: int | None) -> tuple[KnownVersion | None, float | None]:
        """Return a version's identity and its accuracy on the test set, which never change."""
        if number is None:
            return None, None
        if number not in self._versions:
            version = self._registry.version(number)
            text = version.tags.get(ACCURACY_TAG)
            self._versions[number] = KnownVersion(number, version.digest), float(text) if text else None
        return self._versions[number]


class ServerWatch:
    """Probes servers and remembers when each was last ready."""

    def __init__(self, engine: ProcessEngine) -> None:
        self._engine = engine
        self._client = httpx.Client(timeout=_PROBE_TIMEOUT_S, trust_env=False)
        self._unready_since_s: dict[str, float] = {}
        self._was_ready: set[str] = set()

    def look(self, now_s: float) -> tuple[InstanceFacts, ...]:
        """Return every recorded server as it is, oldest first."""
        return tuple(self._look_at(instance, now_s) for instance in self._engine.list())

    def _look_at(self, instance: Instance, now_s: float) -> InstanceFacts:
        is_alive = self._engine.is_alive(instance)
        is_ready = is_alive and instance.stopping_since_s is None and self._probe(instance)
        if is_ready:
            self._was_ready.add(instance.id)
            self._unready_since_s.pop(instance.id, None)
        else:
            self._unready_since_s.setdefault(instance.id, now_s)
        return InstanceFacts(
            id=instance.id,
            version=instance.version,
            digest=instance.digest,
            port=instance.port,
            started_s=instance.started_s,
            is_alive=is_alive,
            is_ready=is_ready,
            was_ready=instance.id in self._was_ready,
            has_begun=instance.has_begun,
            is_stopping=instance.stopping_since_s is not None,
            unready_s=now_s - self._unready_since_s.get(instance.id, now_s),
            log=instance.log,
        )

    def _probe(self, instance: Instance) -> bool:
        if not instance.port:
            return False
        try:
            answer = self._client.get(f"http://127.0.0.1:{instance.port}/v2/health/ready")
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK


class Observer:
    """Everything that a tick looks at."""

    def __init__(self, registry: RegistryWatch, servers: ServerWatch, router: Router) -> None:
        self.registry = registry
        self._servers = servers
        self._router = router

    def look(self, now_s: float, finding: Finding | None, *, with_registry: bool) -> Facts | None:
        """Return the facts of a tick; None as long as the registry has never answered.

        Raises:
            ReleaseError: the router's files cannot be read.
        """
        known = self.registry.look() if with_registry else self.registry.last
        if known is None:
            return None
        return Facts(
            now_s=now_s,
            champion=known.champion,
            previous=known.previous,
            desired=known.desired,
            requested=known.requested,
            instances=self._servers.look(now_s),
            route=self._router.current(),
            is_route_live=self._router.is_live(),
            is_registry_reachable=not self.registry.problem,
            request_problem=known.request_problem,
            finding=finding,
        )
