"""One process at a time changes the packed dataset; the next one waits and says for whom."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.data.sources.raw import Report


@contextmanager
def data_lock(home: Path, report: Report) -> Iterator[None]:
    """Hold `<home>/locks/data.lock` for the block; the kernel frees it when its process dies, however it dies."""
    path = home / "locks" / "data.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            report(f"wait for process {stream.read().strip() or '?'}, which packs the data", 0, 0)
            fcntl.flock(stream, fcntl.LOCK_EX)
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield
