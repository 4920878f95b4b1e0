"""Figures from repeated measurements: their spread, and how one way compares with another."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Ratio:
    """How many times as fast one way is as another; `low` and `high` are its one-sided 95 % bounds."""

    mean: float
    low: float
    high: float
    pairs: int


def compare(speeds: Sequence[float], others: Sequence[float], confidence: float = 0.95) -> Ratio:
    """Return the ratio of speeds measured in pairs: the mean of the ratios' logs, with Student's t interval.

    Raises:
        ValueError: there are fewer than two pairs, or they are not pairs.
    """
    if len(speeds) != len(others) or len(speeds) < 2:
        raise ValueError(f"{len(speeds)} and {len(others)} speeds, expected as many of each, and 2 or more")
    logs = [math.log(one / other) for one, other in zip(speeds, others, strict=True)]
    mean, error = statistics.mean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    reach = float(stats.t.ppf(confidence, len(logs) - 1)) * error
    return Ratio(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach), len(logs))


def spread(values: Sequence[float]) -> str:
    """Return minimum, median and maximum."""
    return " / ".join(
        f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        for value in (min(values), statistics.median(values), max(values))
    )
