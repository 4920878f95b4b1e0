"""Disk space: looked at before a long write, and explained when it runs out in one."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import DataError

RESERVE_BYTES = 64_000_000  # what the rest of the machine is left with


@contextmanager
def explain_full_disk(folder: Path, needed_bytes: int, what: str) -> Iterator[None]:
    """Turn a disk that fills up in the block into a `DataError` with path, needed and free."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) and "No space left" not in str(error):  # pyarrow: no errno
            raise
        raise DataError(_message(folder, needed_bytes, what)) from error


@contextmanager
def space_for(folder: Path, needed_bytes: int, what: str) -> Iterator[None]:
    """Check that `folder` has room for `needed_bytes` before the block, and explain a full disk in it.

    Raises:
        DataError: too little is free, or the disk filled up; with path, needed and free.
    """
    check_space(folder, needed_bytes, what)
    with explain_full_disk(folder, needed_bytes, what):
        yield


def check_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Check that `folder` has room for `needed_bytes`.

    Raises:
        DataError: too little is free; with path, needed and free.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < needed_bytes + RESERVE_BYTES:
        raise DataError(_message(folder, needed_bytes, what))


def _message(folder: Path, needed_bytes: int, what: str) -> str:
    free = shutil.disk_usage(folder).free
    needed = needed_bytes + RESERVE_BYTES
    return (
        f"no disk space to {what}: {folder} has {free / 1e6:.0f} MB free, about {needed / 1e6:.0f} MB are needed. "
        "Free some, or put the folder (data.folder, stack.tracking_folder, EVERGREEN_HOME) on another disk"
    )
