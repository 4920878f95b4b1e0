"""One process at a time changes the packed dataset or a cache; the next one waits and says for whom."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.data.sources.raw import Report


@contextmanager
def hold_lock(path: Path, doing: str, report: Report) -> Iterator[None]:
    """Hold the lock file for the block; the kernel frees it when its process dies, however it dies.

    A process that must wait reports "wait for process 4711, which DOING".
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            report(f"wait for process {stream.read().strip() or '?'}, which {doing}", 0, 0)
            fcntl.flock(stream, fcntl.LOCK_EX)
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


@contextmanager
def data_lock(home: Path, report: Report) -> Iterator[None]:
    """Hold the lock of the packed dataset, which `home` keeps."""
    with hold_lock(home / "locks" / "data.lock", "packs the data", report):
        yield
