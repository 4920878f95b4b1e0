"""The file of a map's images: the rows that a training asks for, in any order.

Rows are read, not mapped: a disk that fails is an error then and not the end of the process (SIGBUS), and what was
read does not count as this process's memory. Only small images in no order are copied from the map.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from tasks.errors import DataError

# Smaller images come from the map: 128,000 reads of 3 KB each second took a third of the training thread's speed,
# because each takes the interpreter's lock twice; copies from the map took a tenth (2 cores, Python 3.11, n = 12).
READ_BYTES = 1 << 16


class ImageFile:
    """The images of a split (N, ...) uint8, mapped, and their file, from `offset_bytes` on; threads may share it."""

    def __init__(self, path: Path, offset_bytes: int, images: npt.NDArray[np.uint8]) -> None:
        """Open it, unbuffered.

        Raises:
            DataError: it is gone.
        """
        self.path, self.offset_bytes, self.images = path, offset_bytes, images
        self.image_bytes = images[0].nbytes
        try:
            self.file = path.open("rb", buffering=0)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}; run again, which builds the map anew") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.file.close()

    def fill(self, block: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]) -> None:
        """Put the images at `rows` (n,) into `block` (n, ...).

        Raises:
            DataError: they cannot be read, or the file ends before them.
        """
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1).tolist()  # where no neighbour comes before
        if len(starts) > 1 and self.image_bytes < READ_BYTES:
            self.check_end(os.fstat(self.file.fileno()).st_size, self.offset_bytes + self.images.nbytes)
            np.take(self.images, rows, axis=0, out=block, mode="clip")  # "raise" would copy once more
            return
        room = block.data.cast("B")
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            part = room[start * self.image_bytes : end * self.image_bytes]
            self.read(part, self.offset_bytes + int(rows[start]) * self.image_bytes)

    def read(self, room: memoryview, place: int) -> None:
        """Read from the byte at `place` on until `room` is full."""
        try:
            count = os.preadv(self.file.fileno(), [room], place)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error}; if the disk is well, run again") from error
        self.check_end(place + count, place + len(room))

    def check_end(self, found: int, expected: int) -> None:
        """Check that the file's bytes go up to `expected`."""
        if found < expected:
            raise DataError(f"{self.path} ends at byte {found}, expected {expected} or more: build the map anew")
