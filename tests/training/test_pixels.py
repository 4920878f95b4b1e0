"""Reading a pixel map, and its exact statistics."""

import shutil

import numpy as np
import pytest
import torch

from tasks.errors import DataError
from tasks.training.pixels import Rows, load_pixels, pixel_statistics

CPU = torch.device("cpu")


def test_a_split_has_its_rows(pixel_map):
    train, validation = (load_pixels(pixel_map, rows, CPU) for rows in (Rows.TRAIN, Rows.VALIDATION))
    assert (len(train), len(validation)) == (240, 60)
    assert train.images.shape == (240, 1, 28, 28)
    assert torch.equal(validation.images[1], torch.from_numpy(np.load(pixel_map / "images.npy")[5]))
    assert validation.labels[-1] == np.load(pixel_map / "labels.npy")[295]


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "splits.npy"])
@pytest.mark.parametrize("content", [None, b"", b"\x93NUMPY"], ids=["missing", "empty", "cut short"])
def test_a_damaged_map_is_told(pixel_map, tmp_path, name, content):
    folder = tmp_path / "map"
    shutil.copytree(pixel_map, folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{folder} is no pixel map: "):
        load_pixels(folder, Rows.TRAIN, CPU)


def test_an_empty_split_names_the_setting(pixel_map, tmp_path):
    folder = tmp_path / "map"
    shutil.copytree(pixel_map, folder)
    np.save(folder / "splits.npy", np.zeros(300, dtype=np.uint8))
    with pytest.raises(DataError, match=r"has no validation images: raise data.validation_share or add data"):
        load_pixels(folder, Rows.VALIDATION, CPU)


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_exact_and_of_each_channel(channels):
    images = torch.randint(0, 256, (5000, channels, 4, 4), dtype=torch.uint8)  # more than one chunk
    images[:, 0] = images[:, 0] // 2
    mean, scale = pixel_statistics(images)
    values = images.numpy().astype(np.float64)
    assert mean.shape == scale.shape == (1, channels, 1, 1)
    assert np.array_equal(mean.numpy().ravel(), values.mean((0, 2, 3)).astype(np.float32))
    np.testing.assert_allclose(scale.numpy().ravel(), 1 / values.std((0, 2, 3)), rtol=1e-6)
    shuffled = pixel_statistics(images[torch.randperm(5000)])
    assert torch.equal(mean, shuffled[0])
    assert torch.equal(scale, shuffled[1])


def test_images_of_one_colour_do_not_divide_by_zero():
    mean, scale = pixel_statistics(torch.full((3, 1, 2, 2), 9, dtype=torch.uint8))
    assert (mean.item(), scale.item()) == (9.0, 1.0)
