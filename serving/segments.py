"""The prediction log on the disk: lines in segments, files that become visible under their name when complete.

    segment-20261121T144210123456Z-5f0c2a9e41d7-000001.jsonl       complete: it never changes again
    segment-20261121T144310987654Z-5f0c2a9e41d7-000002.jsonl.open  being written

A name has the time of the segment's start in UTC, its writer, and its number. Any number of writers, of any versions,
share a folder of one machine. Whoever holds the lock (flock) of an open file that still has its name owns it, so
that a living writer's segment is left alone, and one whose writer was killed is completed by the next that comes.
"""

import contextlib
import fcntl
import logging
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from serving.bundle.durable import sync

logger = logging.getLogger(__name__)

COMPLETE = ".jsonl"
OPEN = ".open"  # after the name that the complete segment will have
_PREFIX = "segment-"
_BLOCK_BYTES = 1 << 16
_LEAST_SEGMENTS = 16  # that the folder's limit has room for, so that something is left when the oldest goes


@dataclass(frozen=True)
class Limits:
    """Bytes of the whole folder, bytes of a segment, and seconds after which a segment is complete."""

    max_bytes: int
    segment_bytes: int
    segment_s: float


@dataclass
class _Segment:
    """The file that is being written: its first `size` bytes are whole lines."""

    path: Path
    handle: int
    opened: float  # time.monotonic()
    size: int = 0


class Segments:
    """One writer's segments in a folder; for one thread.

    `removed` counts segments that went to make room, `cut` half lines at the end of what a killed writer left.
    Each method may raise OSError: the next call tries again.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.removed = 0
        self.cut = 0
        self.segment_bytes = min(limits.segment_bytes, max(1, limits.max_bytes // _LEAST_SEGMENTS))
        self._folder = folder
        self._limits = limits
        self._writer = uuid.uuid4().hex[:12]
        self._number = 0
        self._segment: _Segment | None = None
        self._foreign: set[str] = set()  # segments that another user left, said once

    def start(self) -> None:
        """Make the folder, and complete what killed writers left open in it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._folder.glob(f"{_PREFIX}*{COMPLETE}{OPEN}")):
            try:
                self._adopt(path)
            except OSError as error:
                if path.name not in self._foreign:
                    self._foreign.add(path.name)
                    logger.warning("left open, and cannot be completed: %s: %s", path, error.strerror)

    def append(self, lines: Sequence[bytes]) -> int:
        """Write the first of these lines, those that fit into a segment and at least one, and say how many.

        After an OSError none of them is in the log.
        """
        if self._segment and self._segment.size + len(lines[0]) > self.segment_bytes:
            self.complete()
        segment = self._segment or self._open()
        count, end = 1, segment.size + len(lines[0])
        while count < len(lines) and end + len(lines[count]) <= self.segment_bytes:
            end += len(lines[count])
            count += 1
        self._write(segment, b"".join(lines[:count]))
        return count

    def tick(self) -> None:
        """Complete a segment whose time is over. Call it often, also when nothing is written.

        Raises:
            FileNotFoundError: someone removed the segment that is being written; the next line begins another.
        """
        segment = self._segment
        if segment is None:
            return
        if not _is_at(segment.handle, segment.path):
            self._let_go(segment)
            raise FileNotFoundError(f"{segment.path} is gone, and {segment.size} bytes with it")
        if time.monotonic() - segment.opened >= self._limits.segment_s:
            self.complete()

    def complete(self) -> None:
        """Make the segment that is being written, if there is one, a complete one."""
        segment = self._segment
        if segment is None:
            return
        if segment.size:
            _publish(segment.handle, segment.path)
        else:
            segment.path.unlink(missing_ok=True)
        self._let_go(segment)

    def _open(self) -> _Segment:
        self.start()
        self._make_room()
        while True:
            self._number += 1
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
            path = self._folder / f"{_PREFIX}{stamp}-{self._writer}-{self._number:06}{COMPLETE}{OPEN}"
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o666)
            if _own(handle, path):
                self._segment = _Segment(path, handle, time.monotonic())
                return self._segment
            os.close(handle)  # another writer took it, unlocked yet and empty, for one left behind

    def _write(self, segment: _Segment, data: bytes) -> None:
        """Append `data`, or nothing of it."""
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(segment.handle, left) :]
        except OSError:
            try:
                os.ftruncate(segment.handle, segment.size)
            except OSError:
                self._let_go(segment)  # whoever completes it cuts the half line off
            raise
        segment.size += len(data)

    def _let_go(self, segment: _Segment) -> None:
        self._segment = None
        os.close(segment.handle)  # and the lock with it

    def _adopt(self, path: Path) -> None:
        """Complete a segment that nobody owns; one without a whole line is removed."""
        try:
            handle = os.open(path, os.O_RDWR)
        except FileNotFoundError:  # completed meanwhile
            return
        try:
            if not _own(handle, path):
                return
            size, end = os.fstat(handle).st_size, _end_of_lines(handle)
            if end < size:
                self.cut += 1
                os.ftruncate(handle, end)
            if end == 0:
                path.unlink()
                return
            _publish(handle, path)
            logger.info("completed a segment that was left open", extra={"segment": path.name, "bytes": end})
        finally:
            os.close(handle)

    def _make_room(self) -> None:
        """Remove the oldest complete segments until there is room for all that are being written, at their longest."""
        sizes: dict[Path, int] = {}
        being_written = 1  # the one to come
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(_PREFIX) and entry.name.endswith(COMPLETE):
                    with contextlib.suppress(FileNotFoundError):  # another writer needed room too
                        sizes[self._folder / entry.name] = entry.stat().st_size
                being_written += entry.name.endswith(OPEN)
        total = sum(sizes.values())
        most = self._limits.max_bytes - being_written * self.segment_bytes
        removed = removed_bytes = 0
        for path in sorted(sizes):
            if total <= most:
                break
            total -= sizes[path]
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                removed += 1
                removed_bytes += sizes[path]
        self.removed += removed
        if removed:
            logger.info("removed the oldest segments", extra={"segments": removed, "bytes": removed_bytes})


def _own(handle: int, path: Path) -> bool:
    """Lock an open file if nobody else does, and say whether it is locked now and still the one at `path`."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return _is_at(handle, path)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _publish(handle: int, path: Path) -> None:
    """Give an open segment its name; a power cut keeps it."""
    os.fsync(handle)
    path.rename(path.with_name(path.name.removesuffix(OPEN)))
    with contextlib.suppress(OSError):  # not every file system syncs folders
        sync(path.parent)


def _end_of_lines(handle: int) -> int:
    """Return how many bytes of a file are whole lines."""
    end = os.fstat(handle).st_size
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        found = os.pread(handle, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
