"""Rows of the images' file, wherever they are in it; see test_streamed.py for a file that cannot be read."""

import os

import numpy as np
import pytest

from tasks.errors import DataError
from tasks.training import image_file
from tasks.training.image_file import ImageFile
from tasks.training.pixels import Rows, open_pixels


@pytest.fixture
def pixels(pixel_map):
    return open_pixels(pixel_map, Rows.VALIDATION)


@pytest.mark.parametrize(
    ("limit", "rows", "reads"),
    [
        (0, [5, 6, 7, 0, 59, 1, 1, 2], [3, 1, 1, 1, 2]),
        (784, [5, 6, 7, 0, 59, 1, 1, 2], [3, 1, 1, 1, 2]),
        (785, [5, 6, 7, 0, 59, 1, 1, 2], []),  # from the map
        (785, [57, 58, 59], [3]),
    ],
    ids=["large images", "at the limit", "small images", "neighbours"],
)
def test_rows_come_in_any_order_neighbours_at_once(pixels, monkeypatch, limit, rows, reads):
    sizes, read = [], os.preadv
    monkeypatch.setattr(image_file, "READ_BYTES", limit)
    monkeypatch.setattr(os, "preadv", lambda file, to, at: sizes.append(len(to[0])) or read(file, to, at))
    block = np.empty((len(rows), 1, 28, 28), np.uint8)
    with pixels.open_file() as file:
        file.fill(block, np.array(rows))
    assert np.array_equal(block, pixels.images[rows])
    assert sizes == [784 * count for count in reads]


def test_a_row_after_the_last_is_told(pixels):
    with (
        pixels.open_file() as file,
        pytest.raises(DataError, match=r"images.npy ends at byte \d+, expected \d+ or more"),
    ):
        file.fill(np.empty((1, 1, 28, 28), np.uint8), np.array([60]))


def test_it_is_closed_at_the_end(pixels):
    with pixels.open_file() as file:
        assert not file.file.closed
    assert file.file.closed


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(
        DataError, match=r"images.npy cannot be read: .*No such file.*; run again, which builds the map"
    ):
        ImageFile(tmp_path / "images.npy", 128, np.zeros((1, 1, 28, 28), np.uint8))
