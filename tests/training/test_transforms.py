"""Each transform does exactly what its parameters say, to each image by itself."""

import math

import numpy as np
import pytest
import torch

from tasks.training import transforms


def make_batch(count, channels=1, height=6, width=5):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator)


def angles(degrees, count=1):
    radians = torch.full((count,), math.radians(degrees), dtype=torch.float64)
    return radians.cos().float(), radians.sin().float()


NONE = torch.zeros(1, dtype=torch.int64)


def test_mirror_swaps_the_chosen_ones():
    images = make_batch(3, channels=3)
    mirrored = transforms.mirror(images, torch.tensor([True, False, True]))
    for n in (0, 2):
        assert np.array_equal(mirrored[n].numpy(), images[n].numpy()[:, :, ::-1])
    assert torch.equal(mirrored[1], images[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_shift_moves_down_and_right_and_black_comes_in(channels):
    images, margin = make_batch(25, channels), 2
    down, right = torch.arange(25) // 5 - margin, torch.arange(25) % 5 - margin
    expected = np.zeros(images.shape, dtype=np.uint8)
    for n in range(25):
        padded = np.pad(images[n].numpy(), ((0, 0), (margin, margin), (margin, margin)))
        y, x = margin - int(down[n]), margin - int(right[n])
        expected[n] = padded[:, y : y + 6, x : x + 5]
    assert np.array_equal(transforms.shift(images, down, right, margin).numpy(), expected)


@pytest.mark.parametrize("size", [5, 8, 28, 97])
def test_no_turn_copies_pixels_as_shift_does(size):
    images = make_batch(9, 3, size, size)
    down, right = torch.arange(9) // 3 - 1, torch.arange(9) % 3 - 1
    turned = transforms.turn(images, *angles(0, 9), down, right)
    assert torch.equal(turned, transforms.shift(images, down, right, 1))


@pytest.mark.parametrize(("degrees", "quarters"), [(90, -1), (180, 2), (-90, 1)])
@pytest.mark.parametrize("size", [5, 6, 28])
def test_quarter_turns_are_clockwise_and_exact(degrees, quarters, size):
    images = make_batch(2, 3, size, size)
    turned = transforms.turn(images, *angles(degrees, 2), NONE, NONE)
    assert np.array_equal(turned.numpy(), np.rot90(images.numpy(), quarters, axes=(2, 3)))


def test_a_turn_comes_before_the_move():
    images = make_batch(1, 1, 6, 6)
    turned = transforms.turn(images, *angles(90), torch.tensor([1]), torch.tensor([-2]))
    expected = transforms.shift(transforms.turn(images, *angles(90), NONE, NONE), NONE + 1, NONE - 2, 2)
    assert torch.equal(turned, expected)


def test_a_turn_samples_bilinearly_with_black_outside():
    image = make_batch(1, 1, 7, 7)
    padded = np.pad(image[0, 0].numpy().astype(np.float64), 8)  # wide enough for every corner
    turn = math.radians(30)
    expected = np.zeros((7, 7))
    for y in range(7):
        for x in range(7):
            from_y = math.cos(turn) * (y - 3) - math.sin(turn) * (x - 3) + 3 + 8
            from_x = math.cos(turn) * (x - 3) + math.sin(turn) * (y - 3) + 3 + 8
            top, left = int(from_y), int(from_x)
            down, right = from_y - top, from_x - left
            upper = padded[top, left] * (1 - right) + padded[top, left + 1] * right
            lower = padded[top + 1, left] * (1 - right) + padded[top + 1, left + 1] * right
            expected[y, x] = upper * (1 - down) + lower * down
    turned = transforms.turn(image, *angles(30), NONE, NONE)[0, 0]
    assert np.array_equal(turned.numpy(), expected.round())
    assert turned[3, 3] == image[0, 0, 3, 3]
    assert (turned[0, 0], turned[6, 6]) == (0, 0)


@pytest.mark.parametrize(
    ("brightness", "contrast", "expected"),
    [
        (1.0, 1.0, [0, 100, 101, 255]),
        (1.5, 1.0, [0, 150, 152, 255]),  # 151.5 is rounded to the even one
        (0.5, 1.0, [0, 50, 50, 128]),  # 50.5, 127.5
        (1.0, 0.0, [114, 114, 114, 114]),  # the mean
        (1.0, 0.5, [57, 107, 108, 184]),  # 107.0, 107.5, 184.5
        (1.0, 2.0, [0, 86, 88, 255]),
        (0.5, 0.5, [28, 54, 54, 92]),  # 28.5, 53.5, 53.75, 92.25
    ],
    ids=str,
)
def test_brightness_then_contrast(brightness, contrast, expected):
    image = torch.tensor([0, 100, 101, 255], dtype=torch.uint8).view(1, 1, 2, 2)  # mean 114
    factors = (torch.tensor([factor], dtype=torch.float64) for factor in (brightness, contrast))
    assert transforms.adjust(image, *factors).flatten().tolist() == expected


def test_contrast_is_about_the_mean_of_all_channels():
    image = torch.tensor([0, 90, 210], dtype=torch.uint8).view(1, 3, 1, 1)
    half = torch.tensor([0.5], dtype=torch.float64)
    assert transforms.adjust(image, half * 2, half).flatten().tolist() == [50, 95, 155]


def test_erase_blanks_a_square():
    images = make_batch(2, 3)
    erased = transforms.erase(images, torch.tensor([0, 3]), torch.tensor([2, 1]), 3)
    expected = images.numpy().copy()
    expected[0, :, 0:3, 2:5] = 0
    expected[1, :, 3:6, 1:4] = 0
    assert np.array_equal(erased.numpy(), expected)


EACH = {
    "mirror": lambda images, n: transforms.mirror(images, n % 2 == 0),
    "shift": lambda images, n: transforms.shift(images, n % 5 - 2, n % 3 - 1, 2),
    "turn": lambda images, n: transforms.turn(images, (n / 9).cos(), (n / 9).sin(), n % 5 - 2, n % 3 - 1),
    "adjust": lambda images, n: transforms.adjust(images, 0.7 + n.double() / 100, 1.3 - n.double() / 99),
    "erase": lambda images, n: transforms.erase(images, n % 3, n % 2, 3),
}


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 7)], ids=["grey", "colour"])
def test_an_image_does_not_see_the_others(name, channels, size):
    images, numbers = make_batch(67, channels, size, size), torch.arange(67)
    together = EACH[name](images, numbers)
    assert together.dtype == torch.uint8
    assert together.shape == images.shape
    assert not torch.equal(together, images)
    for first, last in ((0, 1), (1, 4), (30, 67)):
        assert torch.equal(EACH[name](images[first:last], numbers[first:last]), together[first:last])
    channels_last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(EACH[name](channels_last, numbers), together)
