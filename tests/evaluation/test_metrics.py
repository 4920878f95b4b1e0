"""Metrics: a hand-made case with known answers, and what cannot be measured."""

import math

import numpy as np
import pytest

from tasks.errors import DataError
from tasks.evaluation.metrics import calibration_error, measure

CLASSES = ("bag", "coat", "hat")
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.5, 0.1, 0.4]], dtype=np.float32)
LABELS = np.array([0, 1, 1, 0])


def test_measure_knows_a_case_by_hand():
    found = measure(LABELS, PROBABILITIES, CLASSES)
    assert (found.accuracy, found.n) == (0.75, 4)
    assert found.log_loss == pytest.approx(-(math.log(0.7) + math.log(0.3) + math.log(0.8) + math.log(0.5)) / 4)
    assert found.recalls[:2] == (1.0, 0.5)
    assert math.isnan(found.recalls[2])
    assert found.confusion.tolist() == [[2, 0, 0], [1, 1, 0], [0, 0, 0]]


def test_calibration_error_by_hand():
    """Bins of width 1/2: 0.5 falls into the lower one and is right; of 0.6, 0.7 and 0.8 two are."""
    assert calibration_error(LABELS, PROBABILITIES, bins=2) == pytest.approx((0.5 + abs(2 - 2.1)) / 4)


@pytest.mark.parametrize(("confidence", "error"), [(0.8, 0.0), (0.99, 0.19)], ids=["honest", "overconfident"])
def test_calibration_error_sees_overconfidence(confidence, error):
    probabilities = np.full((100, 2), (confidence, 1 - confidence), dtype=np.float32)
    labels = np.array([0] * 80 + [1] * 20)
    assert calibration_error(labels, probabilities) == pytest.approx(error, abs=1e-6)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        (np.empty(0, dtype=np.int64), np.empty((0, 3), dtype=np.float32), "no images"),
        (LABELS, PROBABILITIES[:, :2], r"shape \(4, 2\); expected \(4, 3\)"),
        (np.array([0, 1, 1, 3]), PROBABILITIES, "labels run from 0 to 3; expected 0 to 2"),
        (np.array([0, 1, 1, -1]), PROBABILITIES, "labels run from -1 to 1"),
        (LABELS, PROBABILITIES * np.array([[1], [np.nan], [1], [np.inf]]), "2 of 4 images"),
    ],
    ids=["empty", "another class count", "label too large", "unknown label", "not finite"],
)
def test_measure_refuses_what_cannot_be_measured(labels, probabilities, message):
    with pytest.raises(DataError, match=message):
        measure(labels, probabilities, CLASSES)
