"""Temperature: it finds the one that was applied, and it improves the log-loss."""

import numpy as np
import pytest
from scipy.special import softmax

from tasks.errors import TrainingError
from tasks.evaluation.temperature import HIGHEST, LOWEST, fit_temperature


def honest_case(seed=0, n=20_000, classes=5):
    """Return logits (N, K) and labels that were drawn from their softmax."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, size=(n, classes))
    labels = (softmax(logits, axis=1).cumsum(axis=1) > generator.uniform(size=(n, 1))).argmax(axis=1)
    return logits, labels


@pytest.mark.parametrize("applied", [0.5, 1.0, 2.5], ids=["overconfident", "honest", "underconfident"])
def test_temperature_undoes_what_was_applied(applied):
    logits, labels = honest_case()
    probabilities = softmax(logits / applied, axis=1).astype(np.float32)
    assert fit_temperature(labels, probabilities) == pytest.approx(1 / applied, rel=0.05)


@pytest.mark.parametrize(("is_right", "bound"), [(True, LOWEST), (False, HIGHEST)], ids=["all right", "all wrong"])
def test_temperature_stays_within_its_bounds(is_right, bound):
    probabilities = np.full((50, 2), (0.9, 0.1), dtype=np.float32)
    labels = np.zeros(50, dtype=np.int64) if is_right else np.ones(50, dtype=np.int64)
    assert fit_temperature(labels, probabilities) == pytest.approx(bound, rel=0.01)


def test_temperature_takes_probabilities_of_zero():
    probabilities = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    assert LOWEST <= fit_temperature(np.array([0, 1, 1]), probabilities) <= HIGHEST * 1.001


def test_temperature_is_what_a_float32_holds():
    logits, labels = honest_case(n=500)
    found = fit_temperature(labels, softmax(logits, axis=1).astype(np.float32))
    assert found == float(np.float32(found))


def test_temperature_needs_images():
    with pytest.raises(TrainingError, match=r"no validation images.*raise data\.validation_share"):
        fit_temperature(np.empty(0, dtype=np.int64), np.empty((0, 3), dtype=np.float32))


def test_temperature_refuses_nan():
    with pytest.raises(TrainingError, match="log-loss is nan"):
        fit_temperature(np.array([0, 1]), np.array([[0.5, 0.5], [np.nan, 0.5]], dtype=np.float32))
