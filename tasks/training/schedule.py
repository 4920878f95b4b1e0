"""The one-cycle schedule, as a function of the step: nothing to step along, and nothing to save."""

import math
from dataclasses import dataclass

from tasks.errors import TrainingError
from tasks.training.spec import Recipe

WARMUP_SHARE = 0.25  # of the steps, before the learning rate falls
MIN_STEPS = 5  # with fewer, a quarter of them is no step, and the schedule has no rise
START_DIVISOR, END_DIVISOR = 25.0, 25.0 * 1e4  # of the peak, at the first and at the last step
BETA1_HIGH, BETA1_LOW = 0.95, 0.85  # the momentum falls while the learning rate rises


@dataclass(frozen=True)
class Rates:
    """What the optimizer is set to for one step."""

    learning_rate: float
    beta1: float


def one_cycle(step: int, *, steps: int, peak: float) -> Rates:
    """Return the rates of `step` in [0, steps): up along a cosine to `peak`, then down along another.

    Source: Smith and Topin 2018, "Super-Convergence"; the numbers are those of torch's OneCycleLR.
    """
    top = WARMUP_SHARE * steps - 1
    if step <= top:
        share = step / top
        return Rates(cosine(peak / START_DIVISOR, peak, share), cosine(BETA1_HIGH, BETA1_LOW, share))
    share = (step - top) / (steps - 1 - top)
    return Rates(cosine(peak, peak / END_DIVISOR, share), cosine(BETA1_LOW, BETA1_HIGH, share))


def cosine(start: float, end: float, share: float) -> float:
    """Return the value at `share` in [0, 1] of the way, slow at both ends."""
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1.0)


def check_steps(steps: int, recipe: Recipe) -> None:
    """Check that the learning rate has room to rise and fall.

    Raises:
        TrainingError: it has not.
    """
    if steps < MIN_STEPS:
        raise TrainingError(
            f"training.epochs = {recipe.epochs} with training.batch_size = {recipe.batch_size} are {steps} steps, "
            f"expected {MIN_STEPS} or more: raise the epochs or lower the batch size"
        )
