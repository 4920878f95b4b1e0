"""Logs as JSON lines on standard output, written by a thread of their own: who reads them slowly stops no request.

A request's body is never logged.
"""

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import TextIO

from serving.worker_metrics import WORKER_VARIABLE

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_MOST_LINES = 10_000  # that wait for a slow reader; some MB
_STUCK_S = 2.0  # without a write: nobody reads any more, and the process may end
_AT_ONCE = 4096  # bytes: what a pipe takes whole (PIPE_BUF), so that workers' lines do not mix

_encode = json.JSONEncoder(default=str).encode


class JsonFormatter(logging.Formatter):
    """One line a record: time (UTC), level, logger, message, the worker of several, what the call gave as `extra`."""

    def __init__(self, worker: str | None = None) -> None:
        super().__init__()
        self._same = {} if worker is None else {"worker": int(worker)}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        values: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._same,
        }
        values |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            values["exception"] = self.formatException(record.exc_info)
        return _encode(values)


class QueuedHandler(logging.Handler):
    """Hands lines to a thread that writes them. Where too many wait, new ones are dropped, and a line says how many."""

    def __init__(self, stream: TextIO, most_lines: int = _MOST_LINES) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter(os.environ.get(WORKER_VARIABLE)))
        self._stream = stream
        self._most_lines = most_lines
        self._waiting: SimpleQueue[str | threading.Event] = SimpleQueue()
        self._dropped = 0  # the handler's lock is for this; the thread waits for no lock, which a flush may hold
        self._told = 0  # of them
        self._writes = 0
        threading.Thread(target=self._write_all, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record's line."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - of whatever a record holds; logging's own way to tell
            self.handleError(record)
            return
        if self._waiting.qsize() < self._most_lines:
            self._waiting.put(line)
        else:
            self._dropped += 1

    def flush(self) -> None:
        """Wait until what was logged is written, as long as anything is; `logging.shutdown` does so."""
        flushed, writes = threading.Event(), -1
        self._waiting.put(flushed)
        while not flushed.wait(_STUCK_S) and writes != self._writes:
            writes = self._writes

    def _write_all(self) -> None:
        while True:
            items = self._take()
            lines = [item for item in items if isinstance(item, str)]
            with contextlib.suppress(OSError, ValueError):  # standard output is closed: there is nobody to tell
                for part in _join(lines + self._tell_dropped()):
                    self._stream.write(part)
                    self._stream.flush()
                    self._writes += 1
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()

    def _take(self) -> list[str | threading.Event]:
        """Wait for something to do, and return all that there is."""
        items = [self._waiting.get()]
        with contextlib.suppress(Empty):
            while len(items) < self._most_lines:
                items.append(self._waiting.get_nowait())
        return items

    def _tell_dropped(self) -> list[str]:
        """Return a line on the lines that were dropped since the last one, if any were."""
        dropped = self._dropped - self._told
        if not dropped:
            return []
        self._told += dropped
        message = f"{dropped} lines of this log were dropped: standard output is read too slowly"
        return [self.format(logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, None, None))]


def configure_logging(level: str = "info") -> None:
    """Send records to standard output: ours from `level` up, others' from info up, uvicorn's from warning up."""
    least = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(handlers=[QueuedHandler(sys.stdout)], level=max(least, logging.INFO), force=True)
    logging.getLogger("serving").setLevel(least)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _join(lines: Iterable[str]) -> Iterator[str]:
    """Put lines together for as few writes as can be, none over what a pipe takes at once but for a line's sake."""
    part = ""
    for line in lines:
        if part and len(part) + len(line) + 1 > _AT_ONCE:
            yield part
            part = ""
        part += line + "\n"
    if part:
        yield part
