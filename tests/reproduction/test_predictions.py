import numpy as np
import pytest

from tasks.errors import DataError
from tasks.evaluation.scores import Scores
from tasks.reproduction.evidence import PredictionComparison
from tasks.reproduction.predictions import compare_predictions


def scores(probabilities, *, ids=("a", "b", "c"), classes=("x", "y")) -> Scores:
    labels = np.array(["x", "x", "y"][: len(ids)], dtype=np.str_)
    table = np.array(probabilities, dtype=np.float32).reshape(len(ids), len(classes))
    return Scores(np.array(ids, dtype=np.str_), labels, classes, table, "test")


RECORDED = scores([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]])


def test_equal_answers():
    assert compare_predictions(RECORDED, RECORDED) == PredictionComparison(3, 3, 0.0, 1.0, 1.0)


def test_another_class_and_another_probability():
    other = scores([[0.75, 0.25], [0.25, 0.75], [0.125, 0.875]])
    assert compare_predictions(RECORDED, other) == PredictionComparison(3, 2, 0.25, 1.0, pytest.approx(2 / 3))


def test_what_is_not_finite_on_one_side_only_differs_by_one():
    broken = scores([[np.nan, 0.25], [0.5, 0.5], [0.25, 0.75]])
    assert compare_predictions(RECORDED, broken).largest_difference == 1.0
    assert compare_predictions(broken, broken).largest_difference == 0.0


def test_no_images_are_equal():
    none = scores([], ids=())
    assert compare_predictions(none, none) == PredictionComparison(0, 0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("change", [{"ids": ("a", "c", "b")}, {"classes": ("y", "x")}], ids=["images", "classes"])
def test_other_images_or_classes_cannot_be_compared(change):
    with pytest.raises(DataError, match="the kept predictions are of 3 images and the classes x, y"):
        compare_predictions(RECORDED, scores([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]], **change))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (PredictionComparison(10, 10, 0.0005, 1, 1), True),
        (PredictionComparison(10, 10, 0.0006, 1, 1), False),
        (PredictionComparison(10, 9, 0.0, 1, 1), False),
    ],
)
def test_tolerance(found, expected):
    assert found.is_within(0.0005) is expected
