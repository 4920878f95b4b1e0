"""The benchmark's Markdown: a table for each architecture, the goals, and what it was measured on."""

import importlib.metadata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

from benchmarks.contenders import FREE, LIGHTNING, PATIENT, SHIPPED, TEXTBOOK, Contender
from benchmarks.ratios import Ratio, compare, spread

MIB = 2**20
NONE = "-"
COLUMNS = (
    "",
    "images/s, min / median / max",
    "n",
    "ratio",
    "training, s",
    "process, s",
    "test accuracy",
    "peak, MiB",
    "GPU, MiB",
)


@dataclass
class Figures:
    """What was measured of one contender: speeds in images/s, one a measurement; times in seconds, of one training."""

    speeds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    gpu_bytes: int = 0
    training_s: float | None = None
    process_s: float | None = None
    test_accuracy: float | None = None


@dataclass(frozen=True)
class Goals:
    """What (d) is to reach: so many times the faster peer's speed, and at most so high a bound of (c) over (d) - 1."""

    speed: float
    tax: float


GOALS = {  # by device and architecture
    ("cpu", "small_cnn"): Goals(1.5, 0.03),
    ("cpu", "resnet18"): Goals(1.0, 0.03),
    ("cuda", "small_cnn"): Goals(10.0, 0.05),
    ("cuda", "resnet18"): Goals(1.0, 0.05),
}

Measured = Mapping[Contender, Figures]


def table(figures: Measured, accuracy: float) -> Iterator[str]:
    """Yield the lines of one architecture's table; a training below `accuracy` is marked as such."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|---|{'---:|' * (len(COLUMNS) - 1)}"
    for each, found in figures.items():
        cells = (
            f"({each.key}) {each.title}",
            spread(found.speeds) if found.speeds else NONE,
            str(len(found.speeds)),
            f"{median(found.speeds) / best:.2f}" if found.speeds and (best := best_peer(figures)) else NONE,
            NONE if found.training_s is None else f"{found.training_s:.1f}",
            NONE if found.process_s is None else f"{found.process_s:.1f}",
            describe_accuracy(found.test_accuracy, accuracy),
            f"{found.peak_bytes / MIB:,.0f}",
            f"{found.gpu_bytes / MIB:,.0f}" if found.gpu_bytes else NONE,
        )
        yield f"| {' | '.join(cells)} |"


def best_peer(figures: Measured) -> float:
    """Return the median speed of the faster peer; 0 where none was measured."""
    peers = [speeds_of(figures, each) for each in (TEXTBOOK, LIGHTNING)]
    return max((median(speeds) for speeds in peers if speeds), default=0.0)


def speeds_of(figures: Measured, contender: Contender) -> list[float]:
    """Return a contender's speeds; none where it was not measured."""
    return figures[contender].speeds if contender in figures else []


def describe_accuracy(reached: float | None, wanted: float) -> str:
    """Return an accuracy, and whether it falls short."""
    if reached is None:
        return NONE
    return f"{reached:.4f}" if reached >= wanted else f"{reached:.4f}, below {wanted}"


def verdicts(figures: Measured, goals: Goals | None) -> Iterator[str]:
    """Yield what the figures say of (d), each with its goal where there is one; ratios are taken round by round."""
    shipped, free, patient = (speeds_of(figures, each) for each in (SHIPPED, FREE, PATIENT))
    peer = max((speeds_of(figures, each) for each in (TEXTBOOK, LIGHTNING)), key=lambda speeds: median(speeds or [0]))
    if shipped and len(peer) > 1:
        gain = compare(shipped[: len(peer)], peer)
        goal = judge(gain.mean >= goals.speed, f"at least {goals.speed}") if goals else ""
        yield f"(d) is {describe_ratio(gain)} times as fast as the faster of (a) and (b){goal}."
    if shipped and len(patient) > 1:
        yield f"(d) is {describe_ratio(compare(shipped[: len(patient)], patient))} times as fast as (a')."
    if free and len(shipped) > 1:
        cost = compare(free, shipped)
        goal = judge(cost.high - 1 <= goals.tax, f"at most {goals.tax:.0%}") if goals else ""
        yield (
            f"Determinism and checkpoints cost {cost.mean - 1:+.1%}, upper 95 % bound {cost.high - 1:+.1%}, "
            f"n = {cost.pairs} pairs{goal}."
        )


def describe_ratio(ratio: Ratio) -> str:
    """Return a ratio with its bounds."""
    return f"{ratio.mean:.2f} (90 % interval {ratio.low:.2f} to {ratio.high:.2f}, n = {ratio.pairs})"


def judge(is_met: bool, goal: str) -> str:
    """Return the words that compare a figure with its goal."""
    return f" (goal: {goal}, {'met' if is_met else 'missed'})"


def peer_versions() -> str:
    """Return the versions of the libraries that only the peers use."""
    found = []
    for name in ("torchvision", "lightning"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)
