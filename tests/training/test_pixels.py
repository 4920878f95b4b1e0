"""Opening a pixel map, what is wrong with one, and its exact statistics."""

import hashlib
import shutil

import numpy as np
import pytest
import torch

from tasks.errors import DataError
from tasks.training import pixels as module
from tasks.training.pixels import Rows, check_classes, open_pixels, pixel_statistics
from tests.training.conftest import CLASSES, write_map


@pytest.fixture
def folder(pixel_map, tmp_path):
    """A copy of the map, to damage."""
    return shutil.copytree(pixel_map, tmp_path / "map")


def change(folder, name, function):
    np.save(folder / f"{name}.npy", function(np.load(folder / f"{name}.npy")))


@pytest.mark.parametrize(("rows", "count"), [(Rows.TRAIN, 240), (Rows.VALIDATION, 60)], ids=["train", "validation"])
def test_a_split_has_its_rows(pixel_map, rows, count):
    pixels = open_pixels(pixel_map, rows)
    chosen = np.load(pixel_map / "splits.npy") == rows
    assert len(pixels) == count
    assert pixels.images.shape == (count, 1, 28, 28)
    assert isinstance(pixels.images, np.memmap)
    for name in ("images", "labels", "ids"):
        assert np.array_equal(getattr(pixels, name), np.load(pixel_map / f"{name}.npy")[chosen])
    assert [hashlib.sha256(image.tobytes()).hexdigest().encode() for image in pixels.images] == pixels.ids.tolist()


def test_a_split_knows_where_it_begins_in_the_file(pixel_map):
    pixels = open_pixels(pixel_map, Rows.VALIDATION)
    stored = (pixel_map / "images.npy").read_bytes()
    assert stored[pixels.offset_bytes :] == pixels.images.tobytes()


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "splits.npy", "ids.npy"])
@pytest.mark.parametrize("content", [None, b"", b"\x93NUMPY"], ids=["missing", "empty", "cut short"])
def test_a_damaged_map_is_told(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{folder} is no pixel map: "):
        open_pixels(folder, Rows.TRAIN)


@pytest.mark.parametrize(
    ("name", "function", "text"),
    [
        ("splits", lambda splits: splits[::-1], r"rows, expected as many of each, sorted by split"),
        ("labels", lambda labels: labels[:-1], r"arrays are of \(300, 300, 299, 300\) rows, expected as many of each"),
        ("images", lambda images: images.astype(np.int8), r"images.npy holds int8 of 4 axes, expected uint8 of 4"),
        ("images", lambda images: images[:, 0], r"images.npy holds uint8 of 3 axes, expected uint8 of 4"),
        ("images", np.asfortranarray, r"images.npy holds .*, row after row"),
        ("labels", lambda labels: labels.astype(np.int32), r"labels.npy holds int32 of 1 axes, expected int64 of 1"),
    ],
    ids=["unsorted", "too few labels", "signed", "no channels", "column after column", "narrow labels"],
)
def test_an_array_of_another_kind_is_told(folder, name, function, text):
    change(folder, name, function)
    with pytest.raises(DataError, match=rf"{text}.*: build the map anew|{text}.*; build the map anew"):
        open_pixels(folder, Rows.TRAIN)


def test_an_empty_split_names_the_setting(folder):
    change(folder, "splits", np.zeros_like)
    with pytest.raises(DataError, match=r"has no validation images: raise data.validation_share or add data"):
        open_pixels(folder, Rows.VALIDATION)


def test_classes_that_all_have_images_pass(pixel_map):
    check_classes(open_pixels(pixel_map, Rows.TRAIN), CLASSES)


def test_each_class_without_a_training_image_is_named(folder):
    change(folder, "labels", lambda labels: np.where(np.isin(labels, [2, 7]), 0, labels))
    with pytest.raises(DataError, match=f"no training image of '{CLASSES[2]}', '{CLASSES[7]}': add images of it"):
        check_classes(open_pixels(folder, Rows.TRAIN), CLASSES)
    check_classes(open_pixels(folder, Rows.VALIDATION), CLASSES)


def test_a_class_after_the_last_label_is_missing_too(pixel_map):
    with pytest.raises(DataError, match=r"no training image of 'zebra': "):
        check_classes(open_pixels(pixel_map, Rows.TRAIN), (*CLASSES, "zebra"))


@pytest.mark.parametrize("rows", list(Rows), ids=["train", "validation"])
def test_labels_outside_the_classes_are_named(folder, rows):
    change(folder, "labels", lambda labels: np.where(labels == 3, -1, np.where(labels == 4, 10, labels)))
    with pytest.raises(
        DataError, match=r"holds the labels \[-1, 10\], expected 0 to 9, one for each of the 10 classes"
    ):
        check_classes(open_pixels(folder, rows), CLASSES)


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_exact_and_of_each_channel(tmp_path, monkeypatch, channels):
    images = np.random.default_rng(0).integers(0, 256, (500, channels, 4, 4))
    images[:, 0] //= 2
    pixels = open_pixels(write_map(tmp_path, images, np.zeros(500), np.zeros(500)), Rows.TRAIN)
    mean, scale = pixel_statistics(pixels)
    assert mean.shape == scale.shape == (1, channels, 1, 1)
    assert np.array_equal(mean.numpy().ravel(), images.mean((0, 2, 3)).astype(np.float32))
    np.testing.assert_allclose(scale.numpy().ravel(), 1 / images.std((0, 2, 3)), rtol=1e-6)
    monkeypatch.setattr(module, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(module, "SUMMED", 5)
    again = pixel_statistics(pixels)
    assert torch.equal(mean, again[0])
    assert torch.equal(scale, again[1])


def test_sums_of_large_images_do_not_overflow(tmp_path):
    images = np.zeros((2, 1, 300, 300), np.uint8)
    images[0] = 255
    mean, scale = pixel_statistics(open_pixels(write_map(tmp_path, images, np.zeros(2), np.zeros(2)), Rows.TRAIN))
    assert (mean.item(), scale.item()) == (127.5, pytest.approx(1 / 127.5))


def test_images_of_one_colour_do_not_divide_by_zero(tmp_path):
    folder = write_map(tmp_path, np.full((3, 1, 2, 2), 9), np.zeros(3), np.zeros(3))
    mean, scale = pixel_statistics(open_pixels(folder, Rows.TRAIN))
    assert (mean.item(), scale.item()) == (9.0, 1.0)
