"""Intervals: against published numbers, by their properties, and by how often they err."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.compare import (
    class_recalls,
    lower_bound,
    paired_difference,
    proportion,
    tango_interval,
    upper_bound,
)

# One-sided 97.5 % bounds are the two-sided 95 % interval of the sources, 95 % the two-sided 90 %.
TANGO = [
    # Tango 1998, section 6.1: 43 pairs right under both, 0 under the new alone, 1 under the standard alone.
    pytest.param((0, 1, 44), 0.95, (-0.096, None), 3, id="Tango 1998, contact lenses"),
    # Fagerland, Lydersen, Laake 2014, Statistics in Medicine 33:2850-2875, both examples.
    pytest.param((1, 7, 21), 0.975, (-0.517, -0.026), 3, id="Fagerland 2014, airways"),
    pytest.param((6, 16, 161), 0.975, (-0.1240, -0.0054), 4, id="Fagerland 2014, complete response"),
    # R's PropCIs 0.3-0, scoreci.mp(60, 20, 1000) and scoreci.mp(25, 28, 618, 0.9); it takes the lost pairs first.
    pytest.param((20, 60, 1000), 0.975, (-0.0584, -0.0231), 4, id="PropCIs, 80 of 1000"),
    pytest.param((28, 25, 618), 0.95, (-0.0148, 0.0247), 4, id="PropCIs, 53 of 618"),
]


@pytest.mark.parametrize(("pairs", "confidence", "bounds", "digits"), TANGO)
def test_tango_agrees_with_published_numbers(pairs, confidence, bounds, digits):
    (gained, lost, n), (low, high) = pairs, bounds
    found = tango_interval(gained, lost, n, confidence=confidence)
    assert round(found.low, digits) == low
    assert high is None or round(found.high, digits) == high
    assert (found.estimate, found.n, found.discordant) == ((gained - lost) / n, n, gained + lost)


def test_tango_without_discordant_pairs_is_symmetric_and_narrows():
    z = 1.6448536269514722  # at 95 %, one-sided
    for n in (1, 100, 10_000):
        found = tango_interval(0, 0, n, confidence=0.95)
        assert found.high == pytest.approx(z * z / (n + z * z))  # the score equation solved by hand
        assert (found.estimate, found.low) == (0, pytest.approx(-found.high))


@pytest.mark.parametrize(
    ("gained", "lost", "low", "high"), [(5, 0, None, 1.0), (0, 5, -1.0, None)], ids=["all gained", "all lost"]
)
def test_tango_with_only_discordant_pairs_stays_within_what_is_possible(gained, lost, low, high):
    found = tango_interval(gained, lost, 5, confidence=0.95)
    assert -1 <= found.low < found.high <= 1
    assert low is None or found.low == low
    assert high is None or found.high == high


def test_tango_without_pairs_is_not_measured():
    found = tango_interval(0, 0, 0, confidence=0.95)
    assert all(map(math.isnan, (found.estimate, found.low, found.high)))
    assert not found.is_measured


@pytest.mark.parametrize(("gained", "lost", "n"), [(-1, 0, 5), (3, 3, 5)])
def test_tango_refuses_impossible_counts(gained, lost, n):
    with pytest.raises(ValueError, match=f"{gained} gained and {lost} lost of {n} pairs"):
        tango_interval(gained, lost, n, confidence=0.95)


counts = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 5000)).filter(lambda parts: sum(parts) > 0)
levels = st.sampled_from([0.8, 0.9, 0.95, 0.999])


@given(counts, levels)
def test_tango_holds_its_estimate_and_swaps(parts, confidence):
    gained, lost, _ = parts
    found = tango_interval(gained, lost, sum(parts), confidence=confidence)
    swapped = tango_interval(lost, gained, sum(parts), confidence=confidence)
    assert -1 <= found.low <= found.estimate <= found.high <= 1
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low), abs=1e-12)


@given(counts, levels)
def test_tango_rises_with_each_pair_gained(parts, confidence):
    gained, lost, _ = parts
    before = tango_interval(gained, lost, sum(parts) + 1, confidence=confidence)
    after = tango_interval(gained + 1, lost, sum(parts) + 1, confidence=confidence)
    assert after.low > before.low
    assert after.high >= before.high


@given(counts)
def test_tango_widens_with_confidence(parts):
    gained, lost, _ = parts
    loose, tight = (tango_interval(gained, lost, sum(parts), confidence=level) for level in (0.8, 0.99))
    assert tight.low <= loose.low
    assert tight.high >= loose.high


@pytest.mark.parametrize("difference", [-0.005, 0.0, 0.02])
def test_tango_bounds_err_about_as_often_as_they_say(difference):
    """20,000 test sets of 2,000 images, 6 % discordant: a 95 % bound errs in 5 % of them."""
    generator = np.random.default_rng(20261120)
    gained, lost = 0.03 + difference / 2, 0.03 - difference / 2
    draws = generator.multinomial(2000, [gained, lost, 1 - gained - lost], size=20_000)
    tables, weights = np.unique(draws[:, :2], axis=0, return_counts=True)
    intervals = [tango_interval(int(a), int(b), 2000, confidence=0.95) for a, b in tables]
    above = sum(weight for found, weight in zip(intervals, weights, strict=True) if found.low > difference)
    below = sum(weight for found, weight in zip(intervals, weights, strict=True) if found.high < difference)
    assert 0.04 < above / 20_000 < 0.06
    assert 0.04 < below / 20_000 < 0.06


def test_paired_difference_counts_pairs():
    labels = np.array(["bag", "bag", "bag", "coat", "coat", "coat"])
    challenger = np.array(["bag", "bag", "coat", "coat", "coat", "hat"])
    champion = np.array(["bag", "hat", "bag", "bag", "hat", "bag"])  # one kept, three gained, one lost, one both wrong
    found = paired_difference(labels, challenger, champion, confidence=0.9)
    assert found == tango_interval(3, 1, 6, confidence=0.9)


def test_paired_difference_needs_pairs():
    with pytest.raises(ValueError, match=r"3 labels, 3 predictions of the challenger and 2 of the champion"):
        paired_difference(np.zeros(3), np.zeros(3), np.zeros(2), confidence=0.95)


# Clopper and Pearson's interval; R: binom.test(c(10, 90))$conf.int is 0.0490047 to 0.1762226, at 95 % two-sided.
def test_clopper_pearson_agrees_with_r():
    assert lower_bound(10, 100, confidence=0.975) == pytest.approx(0.0490047, abs=1e-7)
    assert upper_bound(10, 100, confidence=0.975) == pytest.approx(0.1762226, abs=1e-7)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 20, 0.0, 1 - 0.05 ** (1 / 20)),
        (20, 20, 0.05 ** (1 / 20), 1.0),
    ],
    ids=["no images", "none right", "all right"],
)
def test_proportion_at_its_edges(successes, n, low, high):
    found = proportion(successes, n, confidence=0.95)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.is_measured == (n > 0)


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5)])
def test_proportion_refuses_impossible_counts(successes, n):
    with pytest.raises(ValueError, match=f"{successes} successes of {n}: expected a count between 0 and n"):
        proportion(successes, n, confidence=0.95)


def test_class_recalls_correct_for_the_number_of_classes():
    labels = np.array(["bag"] * 40 + ["coat"] * 10)
    predictions = np.array(["bag"] * 30 + ["coat"] * 20)
    found = class_recalls(labels, predictions, ("bag", "coat", "hat", "shoe", "sock"), confidence=0.95)
    assert found["bag"] == proportion(30, 40, confidence=0.99)
    assert found["coat"] == proportion(10, 10, confidence=0.99)
    assert found["hat"].n == 0
    assert not found["hat"].is_measured
