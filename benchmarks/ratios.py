"""Figures from repeated measurements: their spread, and what one way costs against another."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Tax:
    """How much slower the second of each pair is, a fraction; `bound` is its one-sided upper 95 % bound."""

    mean: float
    bound: float
    pairs: int


def tax(faster: Sequence[float], slower: Sequence[float], confidence: float = 0.95) -> Tax:
    """Return the cost from speeds measured in pairs: the mean of their log ratios, with Student's t interval.

    Raises:
        ValueError: there are fewer than two pairs, or they are not pairs.
    """
    if len(faster) != len(slower) or len(faster) < 2:
        raise ValueError(f"{len(faster)} and {len(slower)} speeds, expected as many of each, and 2 or more")
    logs = [math.log(one / other) for one, other in zip(faster, slower, strict=True)]
    mean, error = statistics.mean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    bound = mean + float(stats.t.ppf(confidence, len(logs) - 1)) * error
    return Tax(math.expm1(mean), math.expm1(bound), len(logs))


def spread(values: Sequence[float]) -> str:
    """Return minimum, median and maximum."""
    return " / ".join(
        f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        for value in (min(values), statistics.median(values), max(values))
    )
