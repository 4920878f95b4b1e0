"""A pixel map's rows on the training device. The map is what `tasks.data.pixels` wrote; see `PixelMap` there."""

import enum
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tasks.errors import DataError


class Rows(enum.IntEnum):
    """The values in splits.npy that training reads."""

    TRAIN = 0
    VALIDATION = 1


@dataclass(frozen=True)
class Pixels:
    """Images (N, C, S, S) uint8 and labels (N,) int64, resident on the device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def load_pixels(folder: Path, rows: Rows, device: torch.device) -> Pixels:
    """Return the rows of one split.

    Raises:
        DataError: the map is missing or damaged, or the split is empty.
    """
    try:
        splits = np.load(folder / "splits.npy")
        labels = np.load(folder / "labels.npy")
        images = np.load(folder / "images.npy", mmap_mode="r")
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{folder} is no pixel map: {error}") from error
    chosen = np.flatnonzero(splits == int(rows))
    if not len(chosen):
        raise DataError(f"{folder} has no {rows.name.lower()} images: raise data.{rows.name.lower()}_share or add data")
    return Pixels(torch.from_numpy(images[chosen]).to(device), torch.from_numpy(labels[chosen]).to(device))


def pixel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return each channel's mean and 1 / standard deviation, (1, C, 1, 1) float32, of images (N, C, S, S) uint8.

    The sums are of integers, so that they are exact and the same on every device.
    """
    count = images.numel() // images.shape[1]
    total = torch.zeros(images.shape[1], dtype=torch.int64, device=images.device)
    squares = torch.zeros_like(total)
    for chunk in images.split(4096):
        values = chunk.to(torch.int64)
        total += values.sum((0, 2, 3))
        squares += (values * values).sum((0, 2, 3))
    mean = total.double() / count
    deviation = (squares.double() / count - mean * mean).clamp_min(1.0).sqrt()
    return mean.float().view(1, -1, 1, 1), (1.0 / deviation).float().view(1, -1, 1, 1)
