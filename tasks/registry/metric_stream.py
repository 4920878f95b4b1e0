"""A training's metrics on their way to MLflow: in a thread of its own, and kept while MLflow is away.

Who trains never waits for MLflow: not for an answer that takes long, and not for one that never comes. A metric that
arrived although its answer was lost is sent again; MLflow knows it by its time and counts it once.
"""

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from mlflow.entities import Metric

from tasks.errors import RegistryError
from tasks.registry.tracking import TrackedRun, metrics_of

RETRY_S = 5.0  # between two attempts while MLflow is away; one takes a second or two of itself
LOOK_S = 1.0  # between two reports of who waits
LAST_WORDS_S = 10.0  # for what is pending when the training itself failed


class MetricStream:
    """The metrics of one run; as a context it ends itself, and after an error it does not wait for MLflow's return."""

    def __init__(
        self, run: TrackedRun, on_outage: Callable[[RegistryError], None], *, retry_s: float = RETRY_S
    ) -> None:
        self.run, self.on_outage, self.retry_s = run, on_outage, retry_s
        self.pending: list[Metric] = []
        self.outage: RegistryError | None = None
        self.is_ending = self.is_abandoned = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._work, name="metrics", daemon=True)
        self.thread.start()

    def add(self, event: Mapping[str, object]) -> None:
        """Take an event's numbers, without waiting for MLflow; `TrackedRun.log_training` says what an event is."""
        metrics = metrics_of(event)
        with self.changed:
            self.pending += metrics
            self.changed.notify_all()

    def finish(self, *, timeout_s: float, on_wait: Callable[[float], None]) -> None:
        """Return when MLflow has every metric; `on_wait` hears the seconds once a second while it is away.

        Raises:
            RegistryError: it was away for `timeout_s`; what is pending is given up.
        """
        started = time.monotonic()
        with self.changed:
            self.is_ending = True
            self.changed.notify_all()
            while self.pending:
                waited = time.monotonic() - started
                if waited >= timeout_s:
                    self.is_abandoned = True
                    self.changed.notify_all()
                    raise RegistryError(f"{len(self.pending)} metrics could not be logged in {waited:.0f} s") from (
                        self.outage
                    )
                if self.outage is not None:
                    on_wait(waited)
                self.changed.wait(min(LOOK_S, timeout_s - waited))
        self.thread.join()

    def _work(self) -> None:
        while metrics := self._next():
            try:
                self.run.log_measurements(metrics)
            except RegistryError as error:
                self._pause(error)
            else:
                self._done(len(metrics))

    def _next(self) -> list[Metric]:
        """Return what is pending, once something is; nothing when there will be no more."""
        with self.changed:
            self.changed.wait_for(lambda: self.pending or self.is_ending or self.is_abandoned)
            return [] if self.is_abandoned else list(self.pending)

    def _done(self, count: int) -> None:
        with self.changed:
            del self.pending[:count]
            self.outage = None
            self.changed.notify_all()

    def _pause(self, error: RegistryError) -> None:
        is_first = self.outage is None
        if is_first:
            self.on_outage(error)
        with self.changed:
            self.outage = error
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.is_abandoned, self.retry_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish(timeout_s=LAST_WORDS_S, on_wait=lambda _: None)
            return
        with self.changed:
            self.is_ending = True
            self.changed.notify_all()
            self.changed.wait_for(lambda: not self.pending or self.outage is not None, LAST_WORDS_S)
            self.is_abandoned = True
            self.changed.notify_all()
