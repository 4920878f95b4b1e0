"""What was found of one subject, round by round."""

from dataclasses import dataclass, field
from statistics import median

from benchmarks.served.figures import Figures, middle

ALONE, ONE_THREAD, TWO_THREADS = "batch 1", "one thread", "two threads"  # the bare module's limits


@dataclass
class Found:
    """The figures of one subject; lists have a place for each round.

    Attributes:
        limits: The bare module's images a second by limit.
        batches: The batch size of each limit.
        closed: Figures by contender's key and connections.
        opened: Figures by contender's key and percent of its capacity.
        offered: Requests a second that were sent, likewise.
        left_out: Why a contender has no figures, by its title.
    """

    limits: dict[str, list[float]] = field(default_factory=dict)
    batches: dict[str, int] = field(default_factory=dict)
    closed: dict[str, dict[int, list[Figures]]] = field(default_factory=dict)
    opened: dict[str, dict[int, list[Figures]]] = field(default_factory=dict)
    offered: dict[str, dict[int, float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def rates(self, key: str, connections: int) -> list[float]:
        """Return a contender's requests a second in closed loop; none where it was not measured."""
        return [figures.rate for figures in self.closed.get(key, {}).get(connections, [])]

    def p99_s(self, key: str, connections: int) -> float:
        """Return the median of a contender's 99th percentiles; NaN where it was not measured."""
        return middle([figures.p99_s for figures in self.closed.get(key, {}).get(connections, [])])

    def capacity(self, key: str) -> float:
        """Return the most requests a second that a contender answered: its best median; 0 where there is none."""
        return max((median(self.rates(key, each)) for each in self.closed.get(key, {})), default=0.0)

    def shares(self, key: str, connections: int, limit: str) -> list[float]:
        """Return a contender's share of a limit, round by round."""
        return [
            rate / most
            for rate, most in zip(self.rates(key, connections), self.limits.get(limit, []), strict=False)
            if most
        ]
