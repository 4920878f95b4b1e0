"""A request to stop, seen by the loop after the step that it is in."""

import signal
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether somebody asked this training to stop, and who."""

    def __init__(self) -> None:
        self.reason = ""

    def listen(self) -> None:
        """Take SIGTERM and SIGINT as requests, from now on."""
        for name in SIGNALS:
            signal.signal(name, self.take)

    def take(self, number: int, _: FrameType | None) -> None:
        """Take a signal."""
        self.request(f"it was sent {signal.Signals(number).name}")

    def request(self, reason: str) -> None:
        """Ask to stop; the first reason is the one that is told."""
        self.reason = self.reason or reason
