"""Augmentation does what its plan says, and the plan belongs to the image, not to the batch."""

import numpy as np
import pytest
import torch

from tasks.training.augment import augment, plan_epoch, shift

CPU = torch.device("cpu")
COUNT = 200


def make_batch(count: int, channels: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, 256, (count, channels, 6, 5), dtype=torch.uint8, generator=generator)


def plan(epoch: int, *, flip: bool = True, shift_px: int = 2):
    return plan_epoch(COUNT, seed=5, epoch=epoch, flip=flip, shift_px=shift_px, device=CPU)


def test_every_two_epochs_show_both_sides():
    first, second, third = (plan(epoch).is_mirrored for epoch in range(3))
    assert torch.equal(first, ~second)
    assert torch.equal(first, third)
    assert 60 < int(first.sum()) < 140


def test_shifts_differ_from_epoch_to_epoch_and_reach_every_place():
    first, second = plan(0), plan(1)
    for one, other in (
        (first.shift_y, second.shift_y),
        (first.shift_x, second.shift_x),
        (first.shift_y, first.shift_x),
    ):
        assert set(one.tolist()) == set(range(5))
        assert 0.05 < float((one == other).float().mean()) < 0.4


@pytest.mark.parametrize("channels", [1, 3])
def test_shift_cuts_out_of_a_black_margin(channels):
    images, margin = make_batch(25, channels), 2
    down, right = torch.arange(25) // 5, torch.arange(25) % 5
    expected = np.zeros(images.shape, dtype=np.uint8)
    for n in range(25):
        padded = np.pad(images[n].numpy(), ((0, 0), (margin, margin), (margin, margin)))
        y, x = int(down[n]), int(right[n])
        expected[n] = padded[:, y : y + 6, x : x + 5]
    assert np.array_equal(shift(images, down, right, margin).numpy(), expected)


def test_a_batch_is_mirrored_and_shifted_by_its_rows():
    rows = torch.tensor([7, 3, 199, 0])
    images, chosen = make_batch(4), plan(0)
    result = augment(images, rows, chosen)
    for n, row in enumerate(rows.tolist()):
        image = images[n : n + 1].flip(3) if chosen.is_mirrored[row] else images[n : n + 1]
        one = shift(image, chosen.shift_y[row : row + 1], chosen.shift_x[row : row + 1], 2)
        assert torch.equal(result[n : n + 1], one)
    assert chosen.is_mirrored[rows].any()
    assert not chosen.is_mirrored[rows].all()


def test_without_flip_and_shift_images_stay_as_they_are():
    images = make_batch(4)
    assert augment(images, torch.arange(4), plan(1, flip=False, shift_px=0)) is images
