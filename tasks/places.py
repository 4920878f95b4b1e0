"""Where trainings run side by side: a GPU each, or as many as the cores allow."""

import contextlib
import os
import queue
import subprocess
import threading
from collections.abc import Iterator, Sequence

from tasks.errors import TrainingStopped
from tasks.training.run import VISIBLE_GPUS

QUERY = ("nvidia-smi", "--query-gpu=uuid,name", "--format=csv,noheader")
QUERY_TIMEOUT_S = 30.0  # a driver that was just loaded takes seconds to answer


class Places:
    """Places for trainings, taken and given back by threads; and the request that all of them stop."""

    def __init__(self, gpus: Sequence[str]) -> None:
        """Make a place for each of `gpus`, the values of CUDA_VISIBLE_DEVICES; "" is a place on the cores."""
        self._free: queue.SimpleQueue[str] = queue.SimpleQueue()
        for gpu in gpus:
            self._free.put(gpu)
        self.count = len(gpus)
        self._stopped = threading.Event()

    @contextlib.contextmanager
    def take(self) -> Iterator[str]:
        """Wait for a place, hold it for the block, and yield its GPU."""
        gpu = self._free.get()
        try:
            self.check_stop()
            yield gpu
        finally:
            self._free.put(gpu)

    def stop(self) -> None:
        """Ask every training to stop."""
        self._stopped.set()

    def check_stop(self) -> None:
        """Check that nobody asked to stop.

        Raises:
            TrainingStopped: somebody did.
        """
        if self._stopped.is_set():
            raise TrainingStopped("the run was asked to stop; the next one goes on from the checkpoints")


def find_places(hardware: dict[str, str], *, threads: int) -> Places:
    """Return the places for trainings of this hardware class, each with `threads` threads where it is the CPU's."""
    if hardware["device"] == "cuda":
        return Places(find_gpus(hardware["gpu"]) or [""])
    return Places([""] * max(1, count_cores() // threads))


def find_gpus(name: str) -> list[str]:
    """Return the GPUs that this process may use; those of another name give other bits and are left out."""
    if visible := os.environ.get(VISIBLE_GPUS):
        return visible.split(",")
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, check=True, timeout=QUERY_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return []
    listed = [line.partition(", ") for line in done.stdout.splitlines()]
    return [uuid for uuid, _, found in listed if found.strip() == name]


def count_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
