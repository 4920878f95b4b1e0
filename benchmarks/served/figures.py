"""One measurement's figures, and how those of several rounds are told."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Figures:
    """What a load found: answers a second (2xx alone), seconds until them, and what else came back.

    `p50_s` and `p99_s` are of the answers with 2xx where the generator tells them apart, else of all; NaN of none.
    `refused_p99_s` is of the answers with 503. `lag_p99_s` is how late the generator sent, `generator_share` the share
    of a core that it took; both are 0 where it does not say.
    """

    rate: float
    p50_s: float
    p99_s: float
    errors: Mapping[str, int] = field(default_factory=dict)
    refused_p99_s: float = math.nan
    lag_p99_s: float = 0.0
    generator_share: float = 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that so large a share of all values does not exceed; NaN of none. Nearest rank."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def middle(values: Sequence[float]) -> float:
    """Return the median of the values that are numbers; NaN where none is."""
    numbers = [value for value in values if not math.isnan(value)]
    return median(numbers) if numbers else math.nan


def add_errors(rounds: Sequence[Figures]) -> dict[str, int]:
    """Return the errors of all rounds together."""
    total: dict[str, int] = {}
    for figures in rounds:
        for name, count in figures.errors.items():
            total[name] = total.get(name, 0) + count
    return total
