"""Evidence for the gates: intervals for one proportion and for the difference of two paired ones.

Every bound is one-sided at the stated confidence: `low` alone errs with probability 1 - confidence, and so does `high`.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from tasks.evaluation.gates import Interval

NaN = float("nan")
BISECTIONS = 80  # halves [-1, 1] to below the spacing of float64


def lower_bound(successes: int, n: int, *, confidence: float) -> float:
    """Return the one-sided lower Clopper-Pearson bound of a proportion; 0 without successes or images.

    Source: Clopper and Pearson 1934, Biometrika 26:404-413. Exact: it never errs more often than stated.
    """
    _check_counts(successes, n)
    return float(beta.ppf(1 - confidence, successes, n - successes + 1)) if successes > 0 else 0.0


def upper_bound(successes: int, n: int, *, confidence: float) -> float:
    """Return the one-sided upper Clopper-Pearson bound of a proportion; 1 without failures or images."""
    _check_counts(successes, n)
    return float(beta.ppf(confidence, successes + 1, n - successes)) if successes < n else 1.0


def proportion(successes: int, n: int, *, confidence: float) -> Interval:
    """Return a proportion between its one-sided Clopper-Pearson bounds; the estimate is NaN without images."""
    low = lower_bound(successes, n, confidence=confidence)
    high = upper_bound(successes, n, confidence=confidence)
    return Interval(successes / n if n else NaN, low, high, n)


def class_recalls(
    labels: NDArray[Any], predictions: NDArray[Any], classes: Sequence[str], *, confidence: float
) -> dict[str, Interval]:
    """Return each class's recall between bounds that hold for all classes at once, at `confidence` together.

    Bonferroni: with K classes each bound errs with probability (1 - confidence) / K.
    """
    each = 1 - (1 - confidence) / max(len(classes), 1)
    recalls = {}
    for name in classes:
        is_class = labels == name
        hits = int(np.count_nonzero(predictions[is_class] == name))
        recalls[name] = proportion(hits, int(np.count_nonzero(is_class)), confidence=each)
    return recalls


def paired_difference(
    labels: NDArray[Any], challenger: NDArray[Any], champion: NDArray[Any], *, confidence: float
) -> Interval:
    """Return the accuracy difference, challenger - champion, on the same images, between its Tango bounds.

    `labels`, `challenger` and `champion` are (N,): the true classes and the two models' predictions.

    Raises:
        ValueError: the three have different lengths.
    """
    if not len(labels) == len(challenger) == len(champion):
        raise ValueError(
            f"{len(labels)} labels, {len(challenger)} predictions of the challenger and {len(champion)} of the"
            " champion are no pairs: score both models on the same images"
        )
    is_right, was_right = challenger == labels, champion == labels
    gained = int(np.count_nonzero(is_right & ~was_right))
    lost = int(np.count_nonzero(was_right & ~is_right))
    return tango_interval(gained, lost, len(labels), confidence=confidence)


def tango_interval(gained: int, lost: int, n: int, *, confidence: float) -> Interval:
    """Return (gained - lost) / n between the score bounds for a difference of paired proportions.

    `gained` and `lost` are the discordant pairs among `n`: only the new, only the old model was right. Without pairs
    all numbers are NaN.

    Source: Tango 1998, Statistics in Medicine 17:891-908, equations 24 to 26. At a difference of 0 its
    statistic is McNemar's.
    """
    if gained < 0 or lost < 0 or gained + lost > n:
        raise ValueError(f"{gained} gained and {lost} lost of {n} pairs: counts must be 0 or more and fit into n")
    if n == 0:
        return Interval(NaN, NaN, NaN, 0, 0)
    z = NormalDist().inv_cdf(confidence)
    low, high = _tango_low(gained, lost, n, z), -_tango_low(lost, gained, n, z)
    return Interval((gained - lost) / n, low, high, n, gained + lost)


def _tango_low(gained: int, lost: int, n: int, z: float) -> float:
    """Return the difference below the estimate at which the score statistic, which falls, is z."""
    low, high = -1.0, (gained - lost) / n
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if _tango_statistic(gained, lost, n, middle) > z:
            low = middle
        else:
            high = middle
    return low


def _tango_statistic(gained: int, lost: int, n: int, difference: float) -> float:
    """Return the score statistic of "the true difference is `difference`", for one in (-1, 1)."""
    a = 2 * n
    b = -(gained + lost) + (2 * n - gained + lost) * difference
    c = -lost * difference * (1 - difference)
    only_old = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # most likely share of `lost` under it
    variance = n * (2 * only_old + difference * (1 - difference))
    distance = gained - lost - n * difference
    if variance <= 0:  # rounding, next to the estimate or to the edge of what is possible
        return math.inf if distance > 0 else 0.0
    return distance / math.sqrt(variance)


def _check_counts(successes: int, n: int) -> None:
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}: expected a count between 0 and n")
