"""Where the images of a split are: all on the device, or in their file, from which they stream."""

from collections.abc import Generator, Iterable
from typing import Protocol

import torch
from torch import Tensor

from tasks.training.pixels import Pixels, read_chunks
from tasks.training.spec import Execution
from tasks.training.streamed import Streamed


class Images(Protocol):
    """The images of a split."""

    rows_device: torch.device  # where the rows have to be that `read` is given

    def read(self, blocks: Iterable[Tensor]) -> Generator[Tensor, None, None]:
        """Yield for each block of rows (n,) int64 its images (n, C, S, S) uint8 on the training device."""


class Resident:
    """The images as one tensor on the device."""

    def __init__(self, pixels: Pixels, device: torch.device) -> None:
        self.rows_device = device
        self.images = torch.empty(pixels.images.shape, dtype=torch.uint8, device=device)
        start = 0
        for chunk in read_chunks(pixels):
            self.images[start : start + len(chunk)] = torch.from_numpy(chunk)
            start += len(chunk)

    def read(self, blocks: Iterable[Tensor]) -> Generator[Tensor, None, None]:
        """Yield each block's images."""
        for rows in blocks:
            yield self.images.index_select(0, rows)


def open_images(pixels: Pixels, execution: Execution, device: torch.device) -> Images:
    """Return the images on the device where they fit in `max_resident_bytes`, else as a stream."""
    if pixels.images.nbytes <= execution.max_resident_bytes:
        return Resident(pixels, device)
    return Streamed(pixels, execution.loader_workers, device)
