"""What a peer tells the benchmark: JSON lines on stdout, with the names that tasks.training uses for its own."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from tasks.training.spec import TrainingSpec, read_spec

STEP_EVERY_S = 0.5  # as often as tasks.training reports its steps


def report(event: str, **values: Any) -> None:
    """Write one event."""
    print(json.dumps({"event": event, **values}), flush=True)


class Steps:
    """Reports steps about twice a second."""

    def __init__(self, total: int) -> None:
        self.done, self.total, self.last = 0, total, 0.0

    def count(self) -> None:
        """Count one step."""
        self.done += 1
        now = time.monotonic()
        if now - self.last >= STEP_EVERY_S or self.done == self.total:
            self.last = now
            report("step", step=self.done, steps=self.total)


def begin() -> tuple[TrainingSpec, torch.device]:
    """Return the spec that the command line names and the device to train on, with the threads set."""
    spec = read_spec(Path(sys.argv[1]))
    torch.manual_seed(spec.seed)
    torch.set_num_threads(spec.threads)
    wants_gpu = spec.device != "cpu" and torch.cuda.is_available()
    report("start")
    return spec, torch.device("cuda" if wants_gpu else "cpu")


def end(accuracy: float) -> None:
    """Report the accuracy on the test images."""
    report("end", test_accuracy=accuracy)
