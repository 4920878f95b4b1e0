"""The prediction log's way from the event loop to the disk: a bounded queue, and a thread that empties it.

What a request pays is the choice whether it is recorded and a place in the queue. The thread looks every tenth of a
second, so that nobody is woken on a request's path, and works in small pieces, between which it lets go of the
interpreter's lock. What it has written is the kernel's: SIGKILL loses what came since its last look, no more.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from serving.bundle.decode import Pixels
from serving.prediction import Prediction
from serving.record_lines import Answered, PredictionLines
from serving.record_queue import Entry, RecordQueue, Row, count_records
from serving.sampling import is_recorded
from serving.segments import Limits, Segments

logger = logging.getLogger(__name__)

_LOOK_S = 0.1
_PAUSE_S = 0.001  # between two pieces of work
_RETRY_S = 1.0  # after the disk failed
_CLOSE_S = 3.0  # to write what still waits


@dataclass(frozen=True)
class RecordPlan:
    """Where the log is, the share of the requests that it gets, with or without images, and its limits on the disk."""

    folder: Path
    share: float
    has_images: bool
    limits: Limits


@dataclass(frozen=True)
class RecordCounts:
    """Records written and dropped; segments removed to make room; failures of the disk; half lines cut off.

    A record is an image's prediction, or a feedback. Dropped are those that found the queue full, could not be
    written down, or still waited at the end.
    """

    written: int = 0
    dropped: int = 0
    removed: int = 0
    failed: int = 0
    cut: int = 0


class RecordMeter(Protocol):
    """What a recorder tells of its work, from its own thread."""

    def recorded(self, written: int, dropped: int) -> None:
        """So many more records were written, and so many dropped."""


class Recorder:
    """Records the predictions of one model version, and feedback; its methods are for one thread.

    A disk that is full or cannot be written to is logged once, counted, and tried again; meanwhile the queue fills up.
    """

    def __init__(self, plan: RecordPlan, model_version: str, classes: Sequence[str], meter: RecordMeter) -> None:
        self.plan = plan
        self.is_failing = False  # the disk does not take what is to be written
        self._segments = Segments(plan.folder, plan.limits)
        self.max_line_bytes = self._segments.segment_bytes
        self._lines = PredictionLines(model_version, classes, has_images=plan.has_images, max_bytes=self.max_line_bytes)
        self._meter = meter
        self._queue = RecordQueue()
        self._unwritten: list[bytes] = []  # lines that the disk has yet to take
        self._refused = 0  # by the offering thread; what follows is the writing one's
        self._lost = 0
        self._written = 0
        self._failed = 0
        self._told = (0, 0)  # to the meter: written and dropped
        self._retry_at = 0.0  # time.monotonic()
        self._is_started = False
        self._has_erred = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> RecordCounts:
        """What was done since the start."""
        return RecordCounts(
            written=self._written,
            dropped=self._refused + self._lost,
            removed=self._segments.removed,
            failed=self._failed,
            cut=self._segments.cut,
        )

    def offer(self, request_id: str, images: Sequence[Pixels], prediction: Prediction) -> None:
        """Have an answered request recorded, if its id is among the share; takes microseconds.

        The images must not change any more.
        """
        if is_recorded(request_id, self.plan.share):
            kept = Prediction(_own(prediction.probabilities), _own(prediction.embeddings))
            self._put(Answered(time.time(), request_id, images, kept))

    def offer_line(self, line: bytes) -> bool:
        """Have a line of the log written, whatever the share; say whether it will be, as far as can be known now."""
        return not self.is_failing and self._put(line)

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Write what waits and complete the segment, as far as that is done within `timeout_s`."""
        self._closing.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            logger.error("the prediction log is not written to its end: that takes more than %g s", timeout_s)

    def _put(self, entry: Entry) -> bool:
        is_taken = not self._closing.is_set() and self._queue.put(entry)
        if not is_taken:
            self._refused += count_records(entry)
        return is_taken

    def _run(self) -> None:
        is_closing = False
        while not is_closing:
            is_closing = self._closing.wait(_LOOK_S)  # asked first: what was offered before it is written
            if is_closing or not self.is_failing or time.monotonic() >= self._retry_at:
                self._work(is_last=is_closing)
            self._tell()
        if left := len(self._unwritten) + len(self._queue):
            self._lost += left
            self._tell()
            logger.error("dropped what still waited to be recorded", extra={"records": left})

    def _work(self, *, is_last: bool) -> None:
        """Write what waits, piece by piece, as long as the disk takes it."""
        try:
            if not self._is_started:
                self._segments.start()
                self._is_started = True
            self._segments.tick()
            while self._write_piece():
                self._tell()
                self._segments.tick()
                self._closing.wait(_PAUSE_S)
            if is_last:
                self._segments.complete()
        except (OSError, MemoryError) as error:
            self._failed += 1
            self._retry_at = time.monotonic() + _RETRY_S
            if not self.is_failing:
                logger.error("the prediction log cannot be written, and is tried again: %s", error)  # noqa: TRY400
            self.is_failing = True
            return
        if self.is_failing:
            logger.warning("the prediction log is written again", extra={"dropped": self.counts.dropped})
        self.is_failing = False

    def _write_piece(self) -> bool:
        """Write the next few records, and say whether there were any."""
        if not self._unwritten:
            rows, lines = self._queue.take_piece()
            if not rows and not lines:
                return False
            self._unwritten = self._format(rows) + lines
        while self._unwritten:
            count = self._segments.append(self._unwritten)
            del self._unwritten[:count]
            self._written += count
        return True

    def _format(self, rows: list[Row]) -> list[bytes]:
        try:
            return self._lines.format(rows)
        except Exception:
            self._lost += len(rows)
            if not self._has_erred:
                self._has_erred = True
                logger.exception("predictions cannot be recorded; the next ones that fail are only counted")
            return []

    def _tell(self) -> None:
        counts = self.counts
        told = (counts.written, counts.dropped)
        if told != self._told:
            self._meter.recorded(told[0] - self._told[0], told[1] - self._told[1])
            self._told = told


def _own(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return an array that keeps no larger one alive, as a view of a batch does."""
    return array if array.base is None else array.copy()
