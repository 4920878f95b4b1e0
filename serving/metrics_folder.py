"""The folder in which several workers count: in memory where there is such a place, and gone with its server.

A server whose processes were all killed at once leaves its folder; the next one on the machine removes it. A lock,
which the system lets go of with its process, says whose server still runs.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_MEMORY = Path("/dev/shm")  # noqa: S108 - writable where a container's root is not
_PREFIX = "evergreen-metrics-"
_LOCK = "lock"


@contextlib.contextmanager
def make_metrics_folder(parent: Path | None = None) -> Iterator[Path]:
    """Make a folder for the time of the context; `parent` is where, unless in memory or among temporary files."""
    parent = parent or (_MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir()))
    remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    new = folder / f"{_LOCK}.new"
    with new.open("wb") as lock:
        if fcntl:
            fcntl.flock(lock, fcntl.LOCK_EX)
        new.rename(folder / _LOCK)  # from now on there is one to look at
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(parent: Path) -> None:
    """Remove this user's folders whose servers are gone."""
    for folder in parent.glob(f"{_PREFIX}*") if fcntl else ():
        with contextlib.suppress(OSError):  # another's, just made, locked, or gone by now
            if folder.lstat().st_uid == os.geteuid():
                with (folder / _LOCK).open("rb") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
