"""Where work says how far it is: to whoever listens, which is the terminal, or nobody.

A worker has no terminal; there the flow's log and artifacts tell. Work reports without knowing either.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol


class Listener(Protocol):
    """Shows progress; `total` is 0 while a stage cannot be counted."""

    def update(self, stage: str, done: int, total: int, detail: str) -> None:
        """Show that `stage` is at `done` of `total`."""

    def finish(self, stage: str, seconds: float) -> None:
        """Show that `stage` is over."""

    def fail(self, stage: str, reason: str) -> None:
        """Show that `stage` ended without a result, though others go on."""

    def say(self, text: str) -> None:
        """Show one line that stays."""


class StageTimes(dict[str, float]):
    """Seconds by stage, in the order in which the stages ran."""

    @contextlib.contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Show the block as `stage`, and count its seconds; a block that raises is counted, not shown as over."""
        started = time.monotonic()
        update(stage)
        try:
            yield
        finally:
            self[stage] = self.get(stage, 0.0) + time.monotonic() - started
        for listener in _listeners:
            listener.finish(stage, self[stage])


_listeners: list[Listener] = []


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send what is reported inside the block to `listener`."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def update(stage: str, done: int = 0, total: int = 0, detail: str = "") -> None:
    """Report that `stage` is at `done` of `total`."""
    for listener in _listeners:
        listener.update(stage, done, total, detail)


def fail(stage: str, reason: str) -> None:
    """Report that `stage` ended without a result, though others go on."""
    for listener in _listeners:
        listener.fail(stage, reason)


def say(text: str) -> None:
    """Report one line that a person should read."""
    for listener in _listeners:
        listener.say(text)
