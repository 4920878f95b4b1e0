"""Metrics of one model on one split, by scikit-learn, and its calibration error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, recall_score

from tasks.errors import DataError

ECE_BINS = 15  # as Guo et al. 2017 report it, so that numbers compare


@dataclass(frozen=True, eq=False)
class Metrics:
    """What a model did on `n` images of K classes.

    `recalls` (K) is NaN for a class without images; `confusion` (K, K) counts, a row a true class;
    `ece` is the expected calibration error.
    """

    accuracy: float
    log_loss: float
    ece: float
    recalls: tuple[float, ...]
    confusion: NDArray[np.int64]
    n: int


def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float32], classes: Sequence[str]) -> Metrics:
    """Measure probabilities (N, K) against labels (N,), indices into `classes`.

    Raises:
        DataError: no images, a label that is no index of `classes`, or a probability that is not finite.
    """
    _check(labels, probabilities, classes)
    every = np.arange(len(classes))
    predicted = probabilities.argmax(axis=1)
    sums = probabilities.sum(axis=1, keepdims=True, dtype=np.float64)  # float32 rows sum to 1 up to rounding only
    return Metrics(
        accuracy=float(accuracy_score(labels, predicted)),
        log_loss=float(log_loss(labels, probabilities / sums, labels=every)) if len(classes) > 1 else 0.0,
        ece=calibration_error(labels, probabilities),
        recalls=tuple(map(float, recall_score(labels, predicted, labels=every, average=None, zero_division=np.nan))),
        confusion=confusion_matrix(labels, predicted, labels=every),
        n=len(labels),
    )


def calibration_error(labels: NDArray[np.int64], probabilities: NDArray[np.float32], *, bins: int = ECE_BINS) -> float:
    """Return the expected calibration error: |accuracy - confidence| over bins of equal width, weighted by their size.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv:1706.04599, equation 3.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    is_right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)  # bins ((m - 1) / M, m / M]
    gaps = np.bincount(index, weights=is_right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def _check(labels: NDArray[np.int64], probabilities: NDArray[np.float32], classes: Sequence[str]) -> None:
    if not len(labels):
        raise DataError("there are no images to measure a model on: the split is empty")
    if probabilities.shape != (len(labels), len(classes)):
        expected = (len(labels), len(classes))
        raise DataError(f"probabilities have shape {probabilities.shape}; expected {expected}, images by classes")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise DataError(f"labels run from {labels.min()} to {labels.max()}; expected 0 to {len(classes) - 1}")
    bad = int(np.count_nonzero(~np.isfinite(probabilities).all(axis=1)))
    if bad:
        raise DataError(f"{bad} of {len(labels)} images have probabilities that are not finite: the model is broken")
