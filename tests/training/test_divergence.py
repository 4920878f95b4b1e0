"""The first loss that is no number is named, and a training that is far worse than guessing."""

import math

import pytest
import torch

from tasks.errors import TrainingError
from tasks.training.divergence import check_losses, describe_images, diverged_loss


def check(losses, classes=10):
    check_losses(torch.tensor(losses), classes=classes, describe=lambda step: f"<{step}>")


@pytest.mark.parametrize(
    ("losses", "text"),
    [
        ([2.3, math.nan, 2.0, math.nan], r"^the loss is nan <1>$"),
        ([math.inf], r"^the loss is inf <0>$"),
        ([9.0] * 30 + [-math.inf], r"^the loss is -inf <30>$"),
        ([2.0] * 30 + [5.0] * 9 + [40.0], r"^the loss diverges: its mean over 10 steps is 8.50, .*2.30; .*40 <39>$"),
        ([2.0] * 75 + [4.7] * 25, r"^the loss diverges: its mean over 25 steps is 4.70, guessing gives 2.30"),
        ([5.0] * 10, r"^the loss diverges: its mean over 10 steps"),
    ],
    ids=["the first of two", "infinite", "at the end", "a short tail", "a quarter", "ten steps"],
)
def test_what_is_wrong_is_named(losses, text):
    with pytest.raises(TrainingError, match=text):
        check(losses)


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [2.3] * 100,
        [50.0] * 75 + [4.5] * 25,  # it began badly, and recovered
        [5.0] * 9,  # too few to say
        [2.0] * 90 + [24.0] + [2.0] * 9,  # one hard batch
    ],
    ids=["none", "guessing", "recovered", "nine", "a peak"],
)
def test_what_may_still_train_goes_on(losses):
    check(losses)


def test_the_limit_follows_the_number_of_classes():
    assert diverged_loss(10) == pytest.approx(math.log(10) + math.log(10))
    check([4.7] * 20, classes=1000)
    with pytest.raises(TrainingError, match="diverges"):
        check([4.7] * 20, classes=2)


def test_a_few_images_are_shown():
    assert describe_images(("a", "b")) == "a, b"
    assert describe_images(("a", "b", "c", "d", "e")) == "a, b, c and 2 more"
