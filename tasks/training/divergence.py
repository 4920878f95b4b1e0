"""Losses that are no numbers, or far above guessing: found once per epoch, and told with the step that began it."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tasks.errors import TrainingError

TAIL_SHARE = 0.25  # of an epoch's steps: what the epoch came to, without how it began
MIN_TAIL = 10  # steps; a mean over fewer says little
WORSE_THAN_GUESSING = 10  # times
IDS_SHOWN = 3

Describe = Callable[[int], str]  # of a step of the epoch, counted from 0: where it stands, its rate and its images


def check_losses(losses: Tensor, *, classes: int, describe: Describe) -> None:
    """Check an epoch's losses (n,) float32 on the CPU, which may be an unfinished epoch's.

    Raises:
        TrainingError: one is not finite, or the last of them are far above guessing.
    """
    wrong = torch.nonzero(~losses.isfinite())
    if len(wrong):
        step = int(wrong[0])
        raise TrainingError(f"the loss is {float(losses[step])} {describe(step)}")
    tail = losses[-max(MIN_TAIL, math.ceil(TAIL_SHARE * len(losses))) :].double()
    limit = diverged_loss(classes)
    if len(losses) >= MIN_TAIL and float(tail.mean()) > limit:
        worst = len(losses) - len(tail) + int(tail.argmax())
        raise TrainingError(
            f"the loss diverges: its mean over {len(tail)} steps is {float(tail.mean()):.2f}, guessing gives "
            f"{math.log(classes):.2f}; the highest is {float(losses[worst]):.4g} {describe(worst)}"
        )


def diverged_loss(classes: int) -> float:
    """Return the loss above which a training has diverged: ln(10 K) for K classes.

    Guessing gives the true class 1 / K, a loss of ln K. At ln(10 K) the true class gets a tenth of that, as the
    geometric mean over the images: a network that knows nothing is far better, so its steps are too large. A hard
    task stays at ln K and does not come near.
    """
    return math.log(WORSE_THAN_GUESSING * classes)


def describe_images(ids: tuple[str, ...]) -> str:
    """Return the first few of a batch's image ids, and how many more there are."""
    more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
    return ", ".join(ids[:IDS_SHOWN]) + more
