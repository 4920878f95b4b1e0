"""For the tests of the prediction log: plans, predictions, and what stands in a folder."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from serving.prediction import Prediction
from serving.recorder import Recorder, RecordPlan
from serving.segments import COMPLETE, OPEN, Limits, Segments

CLASSES = ("bag", "coat", 'a "quoted" 100 %s')
VERSION = "12"
PATIENCE_S = 60  # for anything that a slow machine does within seconds


class Meter:
    """Adds up what a recorder tells."""

    def __init__(self) -> None:
        self.written = 0
        self.dropped = 0

    def recorded(self, written: int, dropped: int) -> None:
        self.written += written
        self.dropped += dropped


def make_limits(
    *, max_bytes: int = 100_000_000, segment_bytes: int = 1_000_000, segment_s: float = PATIENCE_S
) -> Limits:
    return Limits(max_bytes, segment_bytes, segment_s)


def make_plan(
    folder: Path, *, share: float = 1.0, has_images: bool = False, limits: Limits | None = None
) -> RecordPlan:
    return RecordPlan(folder, share, has_images, limits or make_limits())


def make_recorder(folder: Path, meter: Meter | None = None, *, version: str = VERSION, **plan) -> Recorder:
    return Recorder(make_plan(folder, **plan), version, CLASSES, meter or Meter())


def make_images(count: int, *, seed: int = 0, shape: tuple[int, ...] = (28, 28)) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8))


def make_prediction(count: int, *, seed: int = 0, size: int = 8) -> Prediction:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(len(CLASSES)), count).astype(np.float32)
    return Prediction(probabilities, generator.normal(size=(count, size)).astype(np.float32))


def make_segments(folder: Path, **limits) -> Segments:
    return Segments(folder, make_limits(**limits))


def lines(*numbers: int, size: int = 0) -> list[bytes]:
    """Return a line for each number, about `size` bytes long."""
    return [json.dumps({"n": number, "filler": "x" * size}).encode() + b"\n" for number in numbers]


def write_all(segments: Segments, some: list[bytes]) -> None:
    while some:
        some = some[segments.append(some) :]


def numbers(folder: Path) -> list[int]:
    return [record["n"] for record in read_lines(folder)]


def names(folder: Path, ending: str = COMPLETE) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(ending))


def open_names(folder: Path) -> list[str]:
    return names(folder, OPEN)


def read_lines(folder: Path) -> list[dict]:
    """Return the lines of all complete segments."""
    return [json.loads(line) for name in names(folder) for line in (folder / name).read_text().splitlines()]


def until(is_so: Callable[[], bool]) -> None:
    """Ask again and again; the asking is the waiting."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.005)


def offer(recorder: Recorder, name: str, count: int = 1, **image) -> None:
    recorder.offer(name, make_images(count, **image), make_prediction(count))
