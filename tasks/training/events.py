"""What a training tells while it goes on: JSON lines on stdout, and the lasting ones in metrics.jsonl."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving.bundle.durable import write_durably
from tasks.training.result import METRICS
from tasks.training.stop import Stop

FAILED = "failed"  # the last event of a training without a result; the launcher raises its reason
Report = Callable[[dict[str, Any]], None]
PASSING = frozenset({"step", "checkpoint", "metrics_failed", FAILED, "end"})  # told, and not kept


class EventLog:
    """Writes each event to stdout for the launcher, and, from `keep_in` on, to a file for whoever looks."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self.path: Path | None = None
        self.kept: list[str] = []
        self.is_heard = True

    def __call__(self, event: dict[str, Any]) -> None:
        """Tell one event; a listener that is gone is a request to stop, so that a checkpoint is written first."""
        line = json.dumps(event) + "\n"
        if event["event"] not in PASSING:
            self.keep(line)
        if self.is_heard:
            try:
                sys.stdout.write(line)
                sys.stdout.flush()
            except BrokenPipeError:
                self.is_heard = False
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails when it exits
                self.stop.request("the process that started it is gone")

    def keep_in(self, out: Path) -> None:
        """Begin the file anew with what was told so far; an event that is told once is in it once."""
        self.path = out / METRICS
        self.path.unlink(missing_ok=True)
        lines, self.kept = self.kept, []
        for line in lines:
            self.keep(line)

    def keep(self, line: str) -> None:
        """Add a line to the file; where the disk does not take it, `complete` writes it at the end."""
        self.kept.append(line)
        if self.path is None:
            return
        try:
            with self.path.open("a") as file:
                file.write(line)
        except OSError as error:
            self({"event": "metrics_failed", "reason": f"{error.strerror}: {self.path}; it is whole again at the end"})

    def complete(self) -> None:
        """Write the whole file durably.

        Raises:
            OSError: it cannot be written.
        """
        if self.path is not None:
            write_durably(self.path, "".join(self.kept))
