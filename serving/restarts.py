"""What follows when a worker ends: pure decisions, for `serving.supervisor`."""

import enum
from dataclasses import dataclass

_LONGEST_DELAY_S = 30.0
_MOST_SILENT_LOOKS = 5
_STABLE_S = 60.0  # of life, after which earlier deaths are forgotten


class Reaction(enum.Enum):
    """What a supervisor does about a worker that ended."""

    END_ALL = "end all"  # it could not begin, and another try would not help
    RESTART = "restart"


@dataclass(frozen=True)
class Ending:
    """How a worker ended."""

    code: int  # of its exit; below zero, minus the signal that killed it
    was_ready: bool  # at some time of its life
    lived_s: float
    earlier: int  # deaths in its place, one soon after the other


def judge_ending(ending: Ending, *, is_first: bool) -> Reaction:
    """Decide whether the server goes on; `is_first` says that no worker was in this place before."""
    is_refusal = ending.code > 0 and not ending.was_ready
    return Reaction.END_ALL if is_first and is_refusal else Reaction.RESTART


def count_deaths(ending: Ending) -> int:
    """Return how many deaths in its place count now, this one among them."""
    return 1 if ending.lived_s > _STABLE_S else ending.earlier + 1


def restart_delay_s(deaths: int) -> float:
    """Return how long to wait before the next try: not at all after the first death, then 1, 2, 4 up to 30 seconds."""
    return min(_LONGEST_DELAY_S, 2.0 ** min(deaths - 2, 10)) if deaths > 1 else 0.0


@dataclass
class Pulse:
    """Whether a worker still runs, by looks at a number that it changes ten times a second.

    Looks are counted, not seconds: where all processes were halted together, nobody is to blame.
    """

    last: int | None = None
    silent_looks: int = 0

    def is_lost(self, beats: int) -> bool:
        """Look once more, and return whether the worker has been silent for too long."""
        self.silent_looks = self.silent_looks + 1 if beats == self.last else 0
        self.last = beats
        return self.silent_looks >= _MOST_SILENT_LOOKS
