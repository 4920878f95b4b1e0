"""Temperature scaling: one number, fitted on validation images, that makes probabilities honest.

Source: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv:1706.04599, section 4.2.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from tasks.errors import TrainingError

LOWEST, HIGHEST = 0.1, 10.0  # beyond, a temperature hides a broken or a perfectly fitted validation set


def fit_temperature(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> float:
    """Return the temperature in [0.1, 10] that minimises the log-loss of (N, K) probabilities made at temperature 1.

    It is a float32, as the module keeps it.

    Raises:
        TrainingError: no images, or probabilities that are not finite.
    """
    if not len(labels):
        raise TrainingError("there are no validation images to fit the temperature on: raise data.validation_share")
    log_probabilities = _log(probabilities)
    every = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(log_probabilities / math.exp(log_temperature), axis=1)
        return float(-scaled[every, labels].mean())

    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    if not math.isfinite(found.fun):
        raise TrainingError(f"the validation log-loss is {found.fun}: the model's probabilities are not finite")
    return float(np.float32(math.exp(found.x)))


def _log(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return log-probabilities (N, K); they equal the logits up to a constant a row, which no softmax sees."""
    smallest = np.finfo(np.float32).tiny
    return np.log(np.maximum(probabilities.astype(np.float64), smallest))
