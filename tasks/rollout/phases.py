"""The state of one release and how a verdict moves it. Pure: no clock, disk, network or settings."""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from tasks.evaluation.gates import Verdict


class Phase(enum.StrEnum):
    """Where a release stands. The last two are final: only a new request starts again."""

    BOOTING = "booting"
    """means: the new server is fetched, started, and not ready yet."""
    VERIFYING = "verifying"
    """means: it is ready, has no traffic, and its golden answers are checked through its own port."""
    SHADOWING = "shadowing"
    """means: it sees copies of requests, and its answers go nowhere."""
    PROGRESSING = "progressing"
    """means: it has `weight_pct` of the traffic, and each healthy look takes it one step further."""
    PROMOTING = "promoting"
    """means: it has all of the traffic, and the registry is told so."""
    ROLLING_BACK = "rolling_back"
    """means: traffic goes back to the champion, and then the new server stops."""
    SUCCEEDED = "succeeded"
    """means: it is the champion."""
    FAILED = "failed"
    """means: it is not, with the reason; the champion before it serves."""


FINAL = frozenset({Phase.SUCCEEDED, Phase.FAILED})
_NEXT = {Phase.BOOTING: Phase.VERIFYING, Phase.VERIFYING: Phase.PROGRESSING, Phase.SHADOWING: Phase.PROGRESSING}


@dataclass(frozen=True)
class ReleaseState:
    """One release, as it is kept on disk and in the version's tag, written before the controller acts on it.

    `weight_pct` is the new version's integer percent of the traffic, `failed_checks` counts failed looks in
    a row. `times` holds (phase, epoch seconds) for each phase entered, `token` is that of the lease that
    wrote it, `ended_by` the request that came in before the release was through. `version` and `digest` are
    None only where the request named none that exists.
    """

    phase: Phase
    weight_pct: int = 0
    failed_checks: int = 0
    request_id: str = ""
    action: Literal["release", "rollback"] = "release"
    version: int | None = None
    digest: str | None = None
    who: str = ""
    why: str = ""
    reason: str = ""
    ended_by: str = ""
    times: tuple[tuple[Phase, float], ...] = ()
    token: int = 0

    @property
    def is_final(self) -> bool:
        """Whether nothing is left to do for its request."""
        return self.phase in FINAL

    @property
    def has_traffic(self) -> bool:
        """Whether the new version is meant to be in the route before it is champion."""
        return self.phase in {Phase.PROGRESSING, Phase.PROMOTING}

    @property
    def started_s(self) -> float:
        """When the release began, in epoch seconds; 0 where it has no times."""
        return self.times[0][1] if self.times else 0.0

    def enter(self, phase: Phase, now_s: float, reason: str = "") -> Self:
        """Return the state in another phase; a reason given replaces the one before."""
        times = (*self.times, (phase, now_s))
        return dataclasses.replace(self, phase=phase, times=times, reason=reason or self.reason)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the state that `to_json` wrote.

        Raises:
            ValueError: it is not one.
        """
        try:
            times = tuple((Phase(phase), float(at_s)) for phase, at_s in values["times"])
            return cls(**{**values, "phase": Phase(values["phase"]), "times": times})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a release state ({error}): {values!r}") from error


def advance(state: ReleaseState, verdict: Verdict, *, steps: Sequence[int], max_failed_checks: int) -> ReleaseState:
    """Return the state after one look at the new version.

    A pass goes one phase or one step further, through increasing `steps` in percent; inconclusive holds.
    Before it has traffic one failed look ends the release; with traffic, `max_failed_checks` in a row do.
    """
    if verdict is Verdict.INCONCLUSIVE:
        return state
    if verdict is Verdict.FAIL:
        failed = state.failed_checks + 1
        if state.phase is Phase.PROGRESSING and failed < max_failed_checks:
            return dataclasses.replace(state, failed_checks=failed)
        return dataclasses.replace(state, phase=Phase.ROLLING_BACK, weight_pct=0, failed_checks=failed)
    phase, weight_pct = _NEXT.get(state.phase, state.phase), state.weight_pct
    if phase is Phase.PROGRESSING:
        later = [step for step in steps if step > state.weight_pct]
        phase, weight_pct = (phase, later[0]) if later else (Phase.PROMOTING, weight_pct)
    return dataclasses.replace(state, phase=phase, weight_pct=weight_pct, failed_checks=0)
