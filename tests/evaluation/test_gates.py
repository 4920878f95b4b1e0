"""The gates' decision tables: each limit from both sides, and what is no evidence."""

import math

import pytest

from tasks.evaluation.gates import (
    GateResult,
    Interval,
    Verdict,
    judge_classes,
    judge_difference,
    judge_floor,
    overall,
)

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
NAN, INF = math.nan, math.inf

NOT_MEASURED = [
    pytest.param(Interval(NAN, NAN, NAN, 0), id="no images"),
    pytest.param(Interval(0.95, 0.94, 0.96, 0), id="numbers without images"),
    pytest.param(Interval(NAN, 0.94, 0.96, 100), id="estimate is NaN"),
    pytest.param(Interval(0.95, NAN, 0.96, 100), id="low is NaN"),
    pytest.param(Interval(0.95, 0.94, NAN, 100), id="high is NaN"),
    pytest.param(Interval(0.95, 0.94, INF, 100), id="high is infinite"),
]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.885, 0.915, PASS),
        (0.88, 0.91, PASS),
        (0.8799, 0.91, INCONCLUSIVE),
        (0.86, 0.88, INCONCLUSIVE),
        (0.86, 0.8799, FAIL),
    ],
    ids=["above", "low on the floor", "low just below", "high on the floor", "wholly below"],
)
def test_floor(low, high, verdict):
    result = judge_floor(Interval((low + high) / 2, low, high, 10_000), min_accuracy=0.88)
    assert result.verdict is verdict
    assert result.required == "at least 0.8800"
    assert result.measured == pytest.approx((low + high) / 2)


@pytest.mark.parametrize("accuracy", NOT_MEASURED)
def test_floor_without_evidence_is_inconclusive(accuracy):
    result = judge_floor(accuracy, min_accuracy=0.0)
    assert result.verdict is INCONCLUSIVE
    assert result.measured is None or math.isfinite(result.measured)
    assert f"{accuracy.n} images" in result.reason


@pytest.mark.parametrize(
    ("low", "high", "is_data_changed", "verdict", "reason"),
    [
        (0.0001, 0.01, False, PASS, "better than the champion: at worst +0.0001"),
        (0.0, 0.01, False, FAIL, "not shown to be better, the champion stays: at worst +0.0000"),
        (-0.02, 0.02, False, FAIL, "not shown to be better, the champion stays: at worst -0.0200"),
        (-0.02, -0.01, False, FAIL, "not shown to be better, the champion stays: at worst -0.0200"),
        (0.0001, 0.01, True, PASS, "not worse than the champion by 0.0050: at worst +0.0001"),
        (-0.0049, 0.01, True, PASS, "not worse than the champion by 0.0050: at worst -0.0049"),
        (-0.005, 0.01, True, INCONCLUSIVE, "-0.0050 to +0.0100 holds the limit -0.0050"),
        (-0.02, -0.005, True, INCONCLUSIVE, "-0.0200 to -0.0050 holds the limit -0.0050"),
        (-0.02, -0.0051, True, FAIL, "worse than the champion by more than 0.0050: at best -0.0051"),
    ],
    ids=[
        "unchanged, better",
        "unchanged, low on zero",
        "unchanged, holds zero",
        "unchanged, worse",
        "changed, better",
        "changed, low just inside",
        "changed, low on the limit",
        "changed, high on the limit",
        "changed, wholly below",
    ],
)
def test_difference(low, high, is_data_changed, verdict, reason):
    difference = Interval((low + high) / 2, low, high, 10_000, 321)
    result = judge_difference(difference, max_drop=0.005, is_data_changed=is_data_changed)
    assert result.verdict is verdict
    assert result.reason.startswith(reason)
    assert result.reason.endswith("on 10000 images, 321 of them decided by one model only")


def test_difference_names_what_it_requires():
    difference = Interval(0.0, -0.001, 0.001, 100, 2)
    changed = judge_difference(difference, max_drop=0.005, is_data_changed=True)
    unchanged = judge_difference(difference, max_drop=0.005, is_data_changed=False)
    assert (changed.required, unchanged.required) == ("above -0.0050", "better: above +0.0000")


@pytest.mark.parametrize("difference", NOT_MEASURED)
@pytest.mark.parametrize("is_data_changed", [True, False])
def test_difference_without_evidence_is_inconclusive(difference, is_data_changed):
    result = judge_difference(difference, max_drop=1.0, is_data_changed=is_data_changed)
    assert result.verdict is INCONCLUSIVE


GOOD, WEAK, BAD = Interval(0.9, 0.8, 0.95, 200), Interval(0.55, 0.45, 0.62, 200), Interval(0.3, 0.2, 0.45, 200)
FEW, MANY_ENOUGH = Interval(0.0, 0.0, 0.4, 49), Interval(0.9, 0.7, 0.99, 50)


@pytest.mark.parametrize(
    ("recalls", "verdict", "measured", "reason"),
    [
        ({"bag": GOOD, "coat": MANY_ENOUGH}, PASS, 0.9, "2 classes; the weakest is bag with 0.9000, at worst 0.8000"),
        ({"bag": Interval(0.6, 0.5, 0.7, 200)}, PASS, 0.6, "1 classes; the weakest is bag"),
        ({"bag": GOOD, "coat": WEAK}, INCONCLUSIVE, 0.55, "coat has recall 0.5500, 0.4500 to 0.6200"),
        ({"bag": GOOD, "coat": Interval(0.4, 0.3, 0.5, 200)}, INCONCLUSIVE, 0.4, "coat has recall 0.4000"),
        ({"bag": GOOD, "coat": FEW}, INCONCLUSIVE, 0.0, "coat has 49 test images, 50 are needed"),
        ({"bag": WEAK, "coat": FEW, "hat": BAD}, FAIL, 0.0, "hat has recall 0.3000, at best 0.4500"),
        ({"bag": Interval(NAN, 0.0, 1.0, 0)}, INCONCLUSIVE, None, "bag has 0 test images, 50 are needed"),
        ({"bag": Interval(NAN, 0.9, 1.0, 99)}, INCONCLUSIVE, None, "bag has 99 test images"),
        ({}, INCONCLUSIVE, None, "no class was measured"),
    ],
    ids=[
        "all above",
        "low on the floor",
        "holds the floor",
        "high on the floor",
        "too few images, even if all wrong",
        "one below decides",
        "no images",
        "NaN",
        "no classes",
    ],
)
def test_classes(recalls, verdict, measured, reason):
    result = judge_classes(recalls, min_recall=0.5, min_images=50)
    assert (result.verdict, result.measured) == (verdict, measured)
    assert result.reason.startswith(reason)


def test_classes_without_images_never_pass_even_without_minimum():
    result = judge_classes({"bag": Interval(NAN, 0.0, 1.0, 0)}, min_recall=0.0, min_images=0)
    assert result.verdict is INCONCLUSIVE


def test_classes_reason_stays_short():
    result = judge_classes({f"c{number}": BAD for number in range(100)}, min_recall=0.5, min_images=50)
    assert result.reason.count("recall") == 5
    assert result.reason.endswith("and 95 more classes")


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([PASS, PASS], PASS),
        ([PASS, INCONCLUSIVE, PASS], INCONCLUSIVE),
        ([INCONCLUSIVE, FAIL, PASS], FAIL),
        ([FAIL, INCONCLUSIVE], FAIL),
        ([], INCONCLUSIVE),
    ],
    ids=["all pass", "one open", "one fails", "fail before open", "no gates"],
)
def test_overall_is_the_worst(verdicts, worst):
    assert overall(GateResult("gate", verdict, 0.5, "", "") for verdict in verdicts) is worst
