"""The bare module's process, and what it is asked: the limits that servers are measured against."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from benchmarks.observe import BenchmarkError
from benchmarks.served.contenders import ROOT
from benchmarks.served.subjects import Made

MAX_BATCH = 64

_WORTH = 1.02  # times as many images a second: less is noise
_LOOK_S = 0.3  # to compare two ways
_LOOKS = 2
_WAITING = {"GOMP_SPINCOUNT": "1000"}  # threads that wait for each other give way: benchmarks/thread_waiting.py


class Bare:
    """The module's process, while entered; it rests between two orders. `is_optimised` is the form that is asked."""

    def __init__(self, made: Made, folder: Path, device: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        image = folder / "image.npy"
        np.save(image, made.image)
        module = ["-m", "benchmarks.served.bare_process"]
        self._command = [sys.executable, *module, str(made.module), str(image), device]
        self.is_optimised = True

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env={**os.environ, **_WAITING},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def rate(self, *, threads: int, batch: int, seconds: float) -> float:
        """Return the images a second of one way to ask.

        Raises:
            BenchmarkError: the process has ended.
        """
        order: Mapping[str, object] = {
            "is_optimised": self.is_optimised,
            "threads": threads,
            "batch": batch,
            "seconds": seconds,
        }
        try:
            print(json.dumps(order), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline() if self._process.stdout else ""
            rate: float = json.loads(line)["rate"]
        except (OSError, ValueError) as error:
            raise BenchmarkError("the bare module's process has ended; what it wrote is above") from error
        return rate

    def choose_form(self) -> None:
        """Find out whether the optimised module is the faster one, in batches, and keep to it."""
        rates = {False: 0.0, True: 0.0}
        for self.is_optimised in (False, True) * _LOOKS:
            rates[self.is_optimised] = max(rates[self.is_optimised], self.look(threads=1, batch=8))
        self.is_optimised = rates[True] >= rates[False]

    def find_batch(self, *, threads: int) -> int:
        """Return the best batch size for so many threads, by a short look at each."""
        return best_batch(lambda size: self.look(threads=threads, batch=size), MAX_BATCH)

    def look(self, *, threads: int, batch: int) -> float:
        """Return the better rate of a few short measurements: on a shared machine one may be disturbed."""
        return max(self.rate(threads=threads, batch=batch, seconds=_LOOK_S) for _ in range(_LOOKS))


def best_batch(rate: Callable[[int], float], most: int) -> int:
    """Return the batch size, a power of two, with the most images a second; a larger one must be clearly better."""
    best, best_rate, size = 1, rate(1), 2
    while size <= most:
        found = rate(size)
        if found > _WORTH * best_rate:
            best, best_rate = size, found
        elif size >= 4 * best:
            break
        size *= 2
    return best
