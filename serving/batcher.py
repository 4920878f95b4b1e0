"""Dynamic batching: requests that come while the model is busy wait together, and go as one batch when it is free.

Nothing waits for company: an idle model gets what there is, at once. Used on the event loop's thread alone; the
model runs where the executor runs it.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Literal, Protocol

from serving.bundle.decode import Pixels
from serving.deadline import NEVER
from serving.errors import DeadlinePassedError
from serving.notes import note
from serving.prediction import ModelError, Prediction, join_predictions

Reason = Literal["idle", "freed", "full"]
Outcome = Prediction | ModelError
PredictEach = Callable[[Sequence[Sequence[Pixels]]], list[Outcome]]


class Meter(Protocol):
    """What a batcher tells of its work."""

    def dispatched(self, reason: Reason, images: int, limit: int, queue_seconds: Sequence[float]) -> None:
        """A batch goes: why now, its size and the limit, and how long each of its requests waited."""

    def queued(self, images: int) -> None:
        """So many images wait."""

    def inferred(self, seconds: float) -> None:
        """A batch was computed, in so many seconds."""


class _Job:
    """A request: its images up to `taken` went to the model, the answers in `parts` came back."""

    __slots__ = ("answered", "batch", "deadline", "images", "inferred_s", "parts", "queued", "taken", "waited_s")

    def __init__(self, images: Sequence[Pixels], deadline: float, answered: "asyncio.Future[Prediction]") -> None:
        self.images = images
        self.deadline = deadline
        self.answered = answered
        self.queued = time.monotonic()
        self.taken = 0
        self.parts: list[Prediction] = []
        self.waited_s = 0.0
        self.batch = 0  # images of the last batch that it was in
        self.inferred_s = 0.0  # all its batches' time in the model

    def take(self, room: int) -> Sequence[Pixels]:
        """Return the next images, `room` at most."""
        images = (
            self.images if not self.taken and len(self.images) <= room else self.images[self.taken : self.taken + room]
        )
        self.taken += len(images)
        return images

    @property
    def left(self) -> int:
        """How many images have not gone yet."""
        return len(self.images) - self.taken

    def settle(self, outcome: Outcome) -> None:
        """Take the answers to the images that went last; the request is answered with its last ones, or an error."""
        if self.answered.done():  # too late, or its client has gone
            return
        if isinstance(outcome, ModelError):
            self.fail(outcome)
            return
        self.parts.append(outcome)
        if sum(len(part.probabilities) for part in self.parts) == len(self.images):
            self.answered.set_result(join_predictions(self.parts))

    def fail(self, error: Exception) -> None:
        """Answer with an error, unless there is an answer already."""
        if not self.answered.done():
            self.answered.set_exception(error)

    def expire(self) -> None:
        """Answer that the time is over."""
        self.fail(DeadlinePassedError("the time that the request had is over"))


class Batcher:
    """Collects requests into batches of up to `limit` images, in the order of their arrival.

    `predict_each` answers several requests' images in one go, where `executor` runs it: a prediction for each, or the
    error that it alone deserves.
    """

    def __init__(self, predict_each: PredictEach, executor: Executor, *, limit: int, meter: Meter) -> None:
        self.limit = limit
        self._predict_each = predict_each
        self._executor = executor
        self._meter = meter
        self._jobs: deque[_Job] = deque()
        self._queued = 0  # images
        self._is_busy = False

    async def predict(self, images: Sequence[Pixels], deadline: float = NEVER) -> Prediction:
        """Return the answers for N images; a request of more than a batch takes turns with the others.

        Raises:
            DeadlinePassedError: `deadline` (`time.monotonic()`) passed; what had not gone to the model never does.
            ModelError: what the model raised for them.
        """
        loop = asyncio.get_running_loop()
        job = _Job(images, deadline, loop.create_future())
        self._jobs.append(job)
        self._count(len(images))
        if not self._is_busy:
            self._is_busy = True
            loop.call_soon(self._dispatch, loop, "idle")  # soon: what was read together goes together
        timer = None if deadline == NEVER else loop.call_later(deadline - job.queued, job.expire)
        try:
            return await job.answered
        finally:
            if timer is not None:
                timer.cancel()
            note(queue_ms=1000 * job.waited_s, batch=job.batch, inference_ms=1000 * job.inferred_s)

    def _dispatch(self, loop: asyncio.AbstractEventLoop, reason: Reason) -> None:
        """Send the next batch, if there is one."""
        taken, waited = self._take()
        self._is_busy = bool(taken)
        if not taken:
            return
        requests = [images for _, images in taken]
        size = sum(map(len, requests))
        self._meter.dispatched("full" if size == self.limit else reason, size, self.limit, waited)
        jobs = [job for job, _ in taken]
        for job in jobs:
            job.batch = size

        def hand_back(done: "Future[tuple[list[Outcome], float]]") -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and its requests with it
                loop.call_soon_threadsafe(self._settle, loop, jobs, done)

        self._executor.submit(self._compute, requests).add_done_callback(hand_back)

    def _take(self) -> tuple[list[tuple[_Job, Sequence[Pixels]]], list[float]]:
        """Return the next batch, a part for each request, and how long those that go for the first time waited."""
        now, room = time.monotonic(), self.limit
        taken, waited, unfinished, before = [], [], [], self._queued
        while self._jobs and room:
            job = self._jobs.popleft()
            if now >= job.deadline:
                job.expire()
            if job.answered.done():  # too late, failed in an earlier part, or its client has gone
                self._queued -= job.left
                continue
            if not job.taken:
                job.waited_s = now - job.queued
                waited.append(job.waited_s)
            images = job.take(room)
            taken.append((job, images))
            room -= len(images)
            self._queued -= len(images)
            if job.left:
                unfinished.append(job)
        self._jobs.extend(unfinished)  # at the end: others get their turn between two batches
        if self._queued != before:
            self._meter.queued(self._queued)
        return taken, waited

    def _compute(self, requests: Sequence[Sequence[Pixels]]) -> tuple[list[Outcome], float]:
        started = time.perf_counter()
        outcomes = self._predict_each(requests)
        return outcomes, time.perf_counter() - started

    def _settle(
        self, loop: asyncio.AbstractEventLoop, jobs: Sequence[_Job], done: "Future[tuple[list[Outcome], float]]"
    ) -> None:
        """Answer what was computed, and send the next batch."""
        if error := done.exception():
            outcomes: list[Outcome] = [ModelError(f"the batch failed: {error!r}") for _ in jobs]
            seconds = 0.0
        else:
            outcomes, seconds = done.result()
            self._meter.inferred(seconds)
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.inferred_s += seconds
            job.settle(outcome)
        self._dispatch(loop, "freed")

    def _count(self, images: int) -> None:
        self._queued += images
        self._meter.queued(self._queued)
