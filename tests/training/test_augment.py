"""What an epoch does to an image is drawn evenly, and belongs to the image, not to the batch."""

from dataclasses import replace

import pytest
import torch
from scipy import stats

from tasks.errors import ConfigError
from tasks.training.augment import STREAMS, Augmentation, check_augmentation

CPU = torch.device("cpu")
COUNT = 3000
ROWS = torch.arange(COUNT)
LOWEST_P = 1e-4  # the draws are fixed: a test that passes once passes always
OFF = {"flip": False, "shift_px": 0, "rotate_degrees": 0.0, "erase_px": 0, "brightness": 0.0, "contrast": 0.0}
ON = {"flip": True, "shift_px": 2, "rotate_degrees": 20.0, "erase_px": 3, "brightness": 0.3, "contrast": 0.4}


@pytest.fixture
def augment(spec):
    """A function that augments images of `rows` in an epoch, with the keys that it is told on."""

    def apply(images, rows=ROWS, repeats=None, epoch=3, seed=5, **recipe):
        changed = replace(spec, seed=seed, recipe=replace(spec.recipe, **{**OFF, **recipe}))
        return Augmentation(changed, epoch, CPU)(images, rows, repeats)

    return apply


def same(image, count=COUNT):
    """Return (count, 1, H, W) uint8 of one image."""
    return torch.as_tensor(image, dtype=torch.uint8).expand(count, 1, -1, -1)


def different(count, size=9):
    return torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def is_mirrored(images):
    return images[:, 0, 0, -1] == 1


LEFT = torch.zeros(9, 9)
LEFT[0, 0] = 1
DOT = torch.zeros(9, 9)
DOT[4, 4] = 255


def test_without_any_key_images_are_not_touched(augment):
    images = different(4)
    assert augment(images, torch.arange(4)) is images


def test_every_two_epochs_show_both_sides(augment):
    first, second, third = (is_mirrored(augment(same(LEFT), epoch=epoch, flip=True)) for epoch in range(3))
    assert torch.equal(first, ~second)
    assert torch.equal(first, third)
    assert stats.binomtest(int(first.sum()), COUNT).pvalue > LOWEST_P


def test_an_image_that_comes_again_in_an_epoch_shows_its_other_side(augment):
    first, second = (is_mirrored(augment(same(LEFT), repeats=ROWS * 0 + repeat, flip=True)) for repeat in (0, 1))
    assert torch.equal(first, ~second)


def test_shifts_are_uniform(augment):
    places = augment(same(DOT), shift_px=2).flatten(1).argmax(1)
    ys, xs = places // 9, places % 9
    counts = torch.bincount((ys - 2) * 5 + xs - 2, minlength=25)
    assert len(counts) == 25
    assert stats.chisquare(counts.numpy()).pvalue > LOWEST_P


def test_rotations_are_uniform(augment):
    image = torch.zeros(41, 41)
    image[17:24, 35:38] = 200  # three o'clock
    weights = augment(same(image), rotate_degrees=30.0)[:, 0].double()
    middle = torch.arange(41).double() - 20
    ys, xs = (weights.sum(2) * middle).sum(1), (weights.sum(1) * middle).sum(1)
    degrees = torch.atan2(ys, xs).rad2deg()
    assert stats.kstest(degrees.numpy(), stats.uniform(-30, 60).cdf).pvalue > LOWEST_P
    assert degrees.abs().max() > 29


@pytest.mark.parametrize("key", ["brightness", "contrast"])
def test_brightness_and_contrast_are_uniform(augment, key):
    image = torch.tensor([[50, 150], [150, 50]])
    pixels = augment(same(image), **{key: 0.4})[:, 0].double()
    factors = pixels[:, 0, 1] / 150 if key == "brightness" else (pixels[:, 0, 1] - pixels[:, 0, 0]) / 100
    step = 1 / 100  # of what a rounded pixel shows of a factor
    blurred = factors + step * (torch.rand(COUNT, generator=torch.Generator().manual_seed(0)) - 0.5)
    assert stats.kstest(blurred.numpy(), stats.uniform(0.6, 0.8).cdf).pvalue > LOWEST_P
    assert factors.min() < 0.61
    assert factors.max() > 1.39


def test_erased_squares_are_uniform_and_whole(augment):
    erased = augment(same(torch.full((9, 9), 255)), erase_px=3)[:, 0] == 0
    assert torch.equal(erased.flatten(1).sum(1), torch.full((COUNT,), 9))
    places = erased.flatten(1).long().argmax(1)
    counts = torch.bincount(places // 9 * 7 + places % 9, minlength=49)
    assert len(counts) == 49
    assert stats.chisquare(counts.numpy()).pvalue > LOWEST_P


def test_what_is_drawn_for_an_image_does_not_depend_on_the_batch(augment):
    images = different(64)
    together = augment(images, torch.arange(64), **ON)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(augment(images[order], order, **ON), together[order])
    for size in (1, 3, 40):
        parts = [augment(images[n : n + size], torch.arange(64)[n : n + size], **ON) for n in range(0, 64, size)]
        assert torch.equal(torch.cat(parts), together)


@pytest.mark.parametrize("key", list(ON))
def test_a_key_draws_the_same_whatever_else_is_on(spec, key):
    alone = Augmentation(replace(spec, recipe=replace(spec.recipe, **{**OFF, key: ON[key]})), 3, CPU)
    among = Augmentation(replace(spec, recipe=replace(spec.recipe, **ON)), 3, CPU)
    drawn = alone.draw(ROWS, None)
    assert len(drawn) == len(STREAMS[key])
    for stream, bits in drawn.items():
        assert torch.equal(among.draw(ROWS, None)[stream], bits)


@pytest.mark.parametrize("key", [key for key in ON if key != "flip"])
@pytest.mark.parametrize(
    "change", [{"seed": 6}, {"epoch": 4}, {"repeats": torch.ones_like(ROWS)}], ids=["seed", "epoch", "repeat"]
)
def test_another_seed_epoch_or_repeat_draws_anew(augment, key, change):
    images = different(1).expand(COUNT, -1, -1, -1)
    first, second = augment(images, **{key: ON[key]}), augment(images, **{key: ON[key]}, **change)
    unchanged = (first == second).flatten(1).all(1).double().mean()
    assert unchanged < 0.1  # the least that can be drawn are 25 shifts


@pytest.mark.parametrize("key", ["shift_px", "erase_px"])
def test_a_key_that_leaves_nothing_is_refused(spec, key):
    recipe = replace(spec.recipe, **{key: 28})
    with pytest.raises(ConfigError, match=rf"training.{key} = 28 leaves nothing of .* model.size_px = 28: lower it"):
        check_augmentation(recipe, 28)
    check_augmentation(recipe, 29)
