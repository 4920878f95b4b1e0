"""The goals of the server, and whether they are met: Evergreen beside the bare module and the other servers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.served.found import ALONE, ONE_THREAD, TWO_THREADS, Found

OURS = "evergreen"
BATCHING = ("litserve", "bentoml")
EVERYONE = ("litserve", "bentoml", "mlflow", "fastapi")
LARGER = ("resnet18", "mobilenet")


@dataclass(frozen=True)
class OfLimit:
    """At least this share of a limit of the bare module."""

    connections: int
    limit: str
    share: float

    def judge(self, found: Found) -> Iterator[str]:
        """Yield the verdict, if both were measured."""
        shares = found.shares(OURS, self.connections, self.limit)
        if shares:
            text = f"{at(self.connections)}: {median(shares):.2f} of the bare module's {self.limit}"
            yield f"{text}{verdict(median(shares) >= self.share, f'at least {self.share}')}"


@dataclass(frozen=True)
class OfRate:
    """At least so many times the requests a second of the best of some servers, or more than it where `times` is 1."""

    connections: int
    peers: Sequence[str]
    times: float

    def judge(self, found: Found) -> Iterator[str]:
        """Yield the verdict, if there is one of them."""
        ours = found.rates(OURS, self.connections)
        rates = {peer: median(rates) for peer in self.peers if (rates := found.rates(peer, self.connections))}
        if ours and rates:
            best = max(rates, key=rates.__getitem__)
            ratio = median(ours) / rates[best] if rates[best] else math.inf
            is_met = ratio >= self.times if self.times > 1 else ratio > 1
            goal = f"at least {self.times:g}" if self.times > 1 else "more than 1"
            yield f"{at(self.connections)}: {ratio:.1f} times the requests/s of {best}{verdict(is_met, goal)}"


@dataclass(frozen=True)
class OfP99:
    """At most this share of the 99th percentile of each of some servers."""

    connections: int
    peers: Sequence[str]
    share: float

    def judge(self, found: Found) -> Iterator[str]:
        """Yield a verdict for each that was measured."""
        ours = found.p99_s(OURS, self.connections)
        for peer in self.peers:
            share = ours / found.p99_s(peer, self.connections)
            if not math.isnan(share):
                text = f"{at(self.connections)}: {share:.2f} of {peer}'s p99"
                yield f"{text}{verdict(share <= self.share, f'at most {self.share:g}')}"


Goal = OfLimit | OfRate | OfP99

_CNN: tuple[Goal, ...] = (
    OfLimit(1, ALONE, 0.60),
    OfLimit(16, ONE_THREAD, 0.90),
    OfLimit(64, TWO_THREADS, 0.75),
    *(OfRate(connections, BATCHING, 2) for connections in (16, 64)),
    *(OfRate(connections, ("mlflow",), 4) for connections in (16, 64)),
    *(OfP99(connections, (*BATCHING, "mlflow"), 0.5) for connections in (16, 64)),
)
_LARGE: tuple[Goal, ...] = (
    *(OfLimit(connections, ONE_THREAD, 0.90) for connections in (16, 64)),
    *(OfRate(connections, EVERYONE, 1) for connections in (1, 16, 64)),
)
_CUDA: tuple[Goal, ...] = (OfRate(64, ("litserve",), 3),)


def goals_of(subject: str, device: str) -> Sequence[Goal]:
    """Return the goals for a subject on a device."""
    if device != "cpu":
        return _CUDA
    return _LARGE if subject in LARGER else _CNN


def judge_goals(found: Found, goals: Sequence[Goal]) -> Iterator[str]:
    """Yield a sentence for each goal whose figures are there."""
    for goal in goals:
        yield from goal.judge(found)


def at(connections: int) -> str:
    """Return where a figure is from."""
    return f"at {connections} connection{'s' if connections > 1 else ''}"


def verdict(is_met: bool, goal: str) -> str:
    """Return the words that compare a figure with its goal."""
    return f" (goal: {goal}, {'met' if is_met else 'missed'})"
