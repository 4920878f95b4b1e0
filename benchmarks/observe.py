"""One measured process: what it reports, how fast it trains, how much memory it takes."""

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import harmonic_mean
from typing import Any

import psutil

from benchmarks.memory import MemoryWatch, family

POLL_S = 0.01

Events = Sequence[Mapping[str, Any]]


class BenchmarkError(Exception):
    """A measured process failed, so that its figures would mean nothing."""


@dataclass(frozen=True)
class Observed:
    """What a process reported, each event with `at_s` since its start, its peak of summed PSS, and of GPU memory."""

    events: tuple[dict[str, Any], ...]
    peak_bytes: int
    gpu_bytes: int
    seconds: float

    def last(self, name: str) -> dict[str, Any]:
        """Return the last event of a name.

        Raises:
            BenchmarkError: there is none.
        """
        found = [event for event in self.events if event["event"] == name]
        if not found:
            raise BenchmarkError(f"no event {name!r} among {sorted({event['event'] for event in self.events})}")
        return found[-1]


def observe(command: Sequence[str], variables: Mapping[str, str], *, until_step: int | None = None) -> Observed:
    """Run a command to its end, or until it reports this step, when it is killed with all that it started.

    Raises:
        BenchmarkError: it failed.
    """
    started, events = time.monotonic(), []
    with (
        tempfile.TemporaryFile("w+") as stderr,
        subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
        MemoryWatch(process.pid) as memory,
    ):
        try:
            for event in events_of(process.stdout or ()):
                events.append({**event, "at_s": time.monotonic() - started})
                if until_step and event["event"] == "step" and event["step"] >= until_step:
                    break
            else:
                process.wait()
        finally:
            kill(process.pid)
        if process.returncode:
            stderr.seek(0)
            raise BenchmarkError(f"{' '.join(command)} ended {process.returncode}: {stderr.read()[-2000:]}")
    return Observed(tuple(events), memory.peak_bytes, memory.gpu_bytes, time.monotonic() - started)


def events_of(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the events among the lines of a process; libraries write others."""
    for line in lines:
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                yield event


def kill(pid: int) -> None:
    """Kill a process and its descendants, and return when they have ended: the next one has the machine for itself."""
    processes = family(pid)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    while any(is_alive(process) for process in processes):
        time.sleep(POLL_S)


def is_alive(process: psutil.Process) -> bool:
    """Whether a process still runs; one that has ended may be listed until somebody collects it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def steps_speed(events: Events, *, batch_size: int, warmup_steps: int) -> float:
    """Return images/s between the reported steps after the warm-up; what lies between two epochs is left out.

    Where the device works behind the host's back, `epochs_speed` is the one to ask.

    Raises:
        BenchmarkError: fewer than two such steps were reported.
    """
    marks = [event for event in events if event["event"] in {"step", "epoch"}]
    steps, seconds = 0, 0.0
    for before, after in pairwise(marks):
        if before["event"] == after["event"] == "step" and before["step"] >= warmup_steps:
            steps += after["step"] - before["step"]
            seconds += after["at_s"] - before["at_s"]
    if not steps:
        raise BenchmarkError(f"no two steps were reported after the first {warmup_steps}: measure more steps")
    return steps * batch_size / seconds


def epochs_speed(events: Events) -> float:
    """Return images/s over the training parts of all epochs but the first.

    Raises:
        BenchmarkError: there was one epoch, or none.
    """
    speeds = [event["images_per_s"] for event in events if event["event"] == "epoch"]
    if len(speeds) < 2:
        raise BenchmarkError(f"{len(speeds)} epochs were reported, expected 2 or more: the first is the warm-up")
    return harmonic_mean(speeds[1:])
