"""A pixel map's rows, as training reads them. The map is what `tasks.data.pixels` wrote; see `PixelMap` there."""

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tasks.errors import DataError
from tasks.training.image_file import ImageFile

CHUNK_BYTES = 1 << 22  # of images that are read at once
SUMMED = 1 << 16  # squares of 255 whose sum is below 2**32
MAPPED = ("images", "ids")  # read from the disk where they are used
KINDS = {"images": ("uint8", 4), "labels": ("int64", 1), "ids": ("|S64", 1), "splits": ("uint8", 1)}  # dtype, axes


class Rows(enum.IntEnum):
    """The values in splits.npy that training reads."""

    TRAIN = 0
    VALIDATION = 1


@dataclass(frozen=True)
class Pixels:
    """One split: images (N, C, S, S) uint8 in a memory map, labels (N,) int64, ids (N,) S64 of hex SHA-256."""

    folder: Path
    rows: Rows
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    ids: npt.NDArray[np.bytes_]
    offset_bytes: int  # of the first image in images.npy

    def __len__(self) -> int:
        return len(self.labels)

    def open_file(self) -> ImageFile:
        """Open the images' file; raises DataError where it is gone."""
        return ImageFile(self.folder / "images.npy", self.offset_bytes, self.images)


def open_pixels(folder: Path, rows: Rows) -> Pixels:
    """Return the rows of one split, of which only the labels are read.

    Raises:
        DataError: the map is missing or damaged, or the split is empty.
    """
    splits, images, labels, ids = (load_array(folder, name) for name in ("splits", "images", "labels", "ids"))
    lengths = len(splits), len(images), len(labels), len(ids)
    if len(set(lengths)) > 1 or (np.diff(splits.astype(np.int16)) < 0).any():
        raise DataError(
            f"{folder} is no pixel map: its arrays are of {lengths} rows, expected as many of each, sorted by split; "
            "build the map anew"
        )
    first, last = np.searchsorted(splits, [int(rows), int(rows) + 1]).tolist()
    if first == last:
        raise DataError(f"{folder} has no {rows.name.lower()} images: raise data.{rows.name.lower()}_share or add data")
    offset = images.offset + first * images[0].nbytes
    return Pixels(folder, rows, images[first:last], labels[first:last], ids[first:last], offset)


def load_array(folder: Path, name: str) -> Any:
    """Return one array of the map, the images and ids as memory maps.

    Raises:
        DataError: it is missing, cut short, or of another kind.
    """
    path = folder / f"{name}.npy"
    try:
        array = np.load(path, mmap_mode="r" if name in MAPPED else None)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{folder} is no pixel map: {error}") from error
    dtype, axes = KINDS[name]
    if array.dtype != np.dtype(dtype) or array.ndim != axes or not array.flags.c_contiguous:
        raise DataError(
            f"{path} holds {array.dtype} of {array.ndim} axes, expected {np.dtype(dtype)} of {axes}, row after row: "
            "build the map anew"
        )
    return array


def check_classes(pixels: Pixels, classes: Sequence[str]) -> None:
    """Check that every label has a class and, in the training rows, every class an image.

    Raises:
        DataError: a label has none, or a class has none.
    """
    strange = sorted({int(label) for label in pixels.labels if not 0 <= label < len(classes)})
    if strange:
        raise DataError(
            f"{pixels.folder} holds the labels {strange}, expected 0 to {len(classes) - 1}, one for each of the "
            f"{len(classes)} classes: build the map anew"
        )
    counts = np.bincount(pixels.labels, minlength=len(classes))
    missing = [name for name, count in zip(classes, counts.tolist(), strict=True) if not count]
    if missing and pixels.rows is Rows.TRAIN:
        raise DataError(
            f"no training image of {', '.join(map(repr, missing))}: add images of it, or list the other classes "
            "in data.classes"
        )


def pixel_statistics(pixels: Pixels) -> tuple[Tensor, Tensor]:
    """Return each channel's mean and 1 / standard deviation, (1, C, 1, 1) float32.

    The sums are of integers, so that they are exact, whatever the order and the size of the chunks.

    Raises:
        DataError: the images cannot be read.
    """
    total, squares = (torch.zeros(pixels.images.shape[1], dtype=torch.int64) for _ in range(2))
    for chunk in read_chunks(pixels):
        flat = chunk.reshape(*chunk.shape[:2], -1)  # (n, C, S * S)
        for start in range(0, flat.shape[2], SUMMED):
            values = flat[:, :, start : start + SUMMED].astype(np.uint32)
            total += torch.from_numpy(values.sum((0, 2), dtype=np.int64))
            squares += torch.from_numpy(np.einsum("ncs,ncs->nc", values, values).sum(0, dtype=np.int64))
    count = pixels.images.size // len(total)
    mean = total.double() / count
    deviation = (squares.double() / count - mean * mean).clamp_min(1.0).sqrt()
    return mean.float().view(1, -1, 1, 1), (1.0 / deviation).float().view(1, -1, 1, 1)


def read_chunks(pixels: Pixels) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the images in order, some at once, (n, C, S, S) uint8.

    Raises:
        DataError: they cannot be read.
    """
    shape = pixels.images.shape[1:]
    step = max(1, CHUNK_BYTES // math.prod(shape))
    with pixels.open_file() as file:
        for start in range(0, len(pixels), step):
            rows = np.arange(start, min(start + step, len(pixels)))
            chunk = np.empty((len(rows), *shape), np.uint8)
            file.fill(chunk, rows)
            yield chunk
