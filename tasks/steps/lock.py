"""One process at a time in a step's folder; the kernel frees the lock when its process dies, however it dies."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file for the block, after waiting for it; `on_wait` gets a sentence that says for whom."""
    while True:
        with _open(path) as stream:
            if not _take(stream, is_patient=False):
                on_wait(f"wait for process {stream.read().strip() or '?'}, which is at the same step")
                _take(stream, is_patient=True)
            if not _is_at(stream, path):  # removed by who had it, with the step
                continue
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            yield
            return


@contextlib.contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock file for the block if nobody has it, and yield whether that is so."""
    with _open(path) as stream:
        yield _take(stream, is_patient=False) and _is_at(stream, path)


def _open(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = path.open("a+")
    stream.seek(0)
    return stream


def _take(stream: IO[str], *, is_patient: bool) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if is_patient else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _is_at(stream: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
