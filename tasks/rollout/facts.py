"""What one tick sees, and what it may do about it. Records, no behaviour; `now_s` is the tick's only clock."""

from dataclasses import dataclass

from tasks.evaluation.gates import Verdict
from tasks.registry.record import DesiredRelease
from tasks.rollout.route import Route


@dataclass(frozen=True)
class KnownVersion:
    """A model version and the digest of its bundle: a number alone may be another model's after a reset."""

    version: int
    digest: str


@dataclass(frozen=True)
class InstanceFacts:
    """A server as it was seen: `unready_s` since it was last ready, or since the first look at it.

    `port` is 0 until the server listens; without `has_begun` it ended with the controller that started it.
    """

    id: str
    version: int
    digest: str
    port: int
    started_s: float
    is_alive: bool
    is_ready: bool = False
    was_ready: bool = False
    has_begun: bool = True
    is_stopping: bool = False
    unready_s: float = 0.0
    log: str = ""


@dataclass(frozen=True)
class Finding:
    """What came of a look or an act that the open release waits for."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Facts:
    """Everything that a decision rests on.

    The registry's part is the last that was known where `is_registry_reachable` is False. `requested` is the
    version that `desired` means: its own, or `previous` for a rollback; without it `request_problem` says why.
    """

    now_s: float
    champion: KnownVersion | None
    previous: KnownVersion | None
    desired: DesiredRelease | None
    requested: KnownVersion | None
    instances: tuple[InstanceFacts, ...]
    route: Route
    is_route_live: bool
    is_registry_reachable: bool = True
    request_problem: str = ""
    finding: Finding | None = None


@dataclass(frozen=True)
class Limits:
    """The settings that decide: times in seconds, `steps_pct` in increasing integer percent."""

    steps_pct: tuple[int, ...]
    max_failed_checks: int
    ready_timeout_s: float
    unready_grace_s: float
    timeout_s: float


@dataclass(frozen=True)
class StartInstance:
    """Fetch a version's bundle and start a server on it."""

    version: int
    digest: str


@dataclass(frozen=True)
class CheckGolden:
    """Ask a server its golden questions through its own port."""

    instance_id: str


@dataclass(frozen=True)
class SetRoute:
    """Send the traffic along a route."""

    route: Route


@dataclass(frozen=True)
class Promote:
    """Make a version the champion in the registry."""

    version: int
    who: str
    why: str


@dataclass(frozen=True)
class RollBack:
    """Make `previous` the champion in the registry."""

    who: str
    why: str


@dataclass(frozen=True)
class Reject:
    """Archive a version that did not make it, with the reason in the ledger."""

    version: int
    who: str
    why: str


@dataclass(frozen=True)
class RetireInstance:
    """Let a server finish what it has and stop it; asked for again until it is gone."""

    instance_id: str


Action = StartInstance | CheckGolden | SetRoute | Promote | RollBack | Reject | RetireInstance
