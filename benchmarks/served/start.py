"""How long a server takes to its first right answer, and where that time goes."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from statistics import median

from benchmarks.ratios import spread
from benchmarks.served.bare import Bare
from benchmarks.served.contenders import EVERGREEN, ONE_WORKER, Contender, Place, best_terms
from benchmarks.served.servers import Server, free_port
from benchmarks.served.subjects import Made

IMPORTS = 10  # packages that are named
REFUSAL = "request"  # the record of one, which is ours: asked until it answers

_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)$")


@dataclass
class Starts:
    """Seconds until something, by its title; and those until one worker's records in its log."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    moments: dict[str, list[float]] = field(default_factory=dict)

    def add(self, title: str, seconds: float) -> None:
        """Keep one measurement."""
        self.seconds.setdefault(title, []).append(seconds)
        print(f"{title}: {seconds:.2f} s", file=sys.stderr)


def measure_starts(made: Made, folder: Path, *, count: int) -> Iterator[str]:
    """Yield the seconds of so many starts, in turns, and where Evergreen's go."""
    starts = Starts()
    for _ in range(count):
        take_turn(starts, made, folder)
    yield "| seconds from the start of a process, min / median / max | |"
    yield "|---|---:|"
    for title, seconds in starts.seconds.items():
        yield f"| {title} | {spread(seconds)} |"
    yield ""
    yield "One worker's log, median seconds from its start:"
    yield ""
    for words, at in sorted(starts.moments.items(), key=lambda item: median(item[1])):
        yield f"- {median(at):.2f}: {words}"
    yield ""
    yield f"Imports of one worker, seconds, as slow as it is to watch them: {describe_imports(imports(made, folder))}"


def take_turn(starts: Starts, made: Made, folder: Path) -> None:
    """Start each once."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import torch, os; os._exit(0)"], check=True)
    starts.add("`import torch`", time.monotonic() - began)
    began = time.monotonic()
    with Bare(made, folder / "bare", "cpu") as bare:
        bare.rate(threads=1, batch=1, seconds=0.0)
        starts.add("the bare module's first answers", time.monotonic() - began)
    with run(ONE_WORKER, made, folder / "one") as server:
        starts.add("Evergreen's first right answer, one worker", server.first_answer_s)
        lines = server.log.read_text(errors="replace").splitlines()
    for words, at in log_moments(lines, server.started).items():
        starts.moments.setdefault(words, []).append(at)
    with run(EVERGREEN, made, folder / "default") as server:
        starts.add("Evergreen's first right answer, its default", server.first_answer_s)


def imports(made: Made, folder: Path) -> dict[str, float]:
    """Return what the imports of one worker's start cost, by package."""
    watched = replace(ONE_WORKER, environment={"PYTHONPROFILEIMPORTTIME": "1"})
    with run(watched, made, folder / "imports") as server:
        return import_seconds(server.log.read_text(errors="replace").splitlines())


def run(contender: Contender, made: Made, folder: Path) -> Server:
    """Return a server that is to be entered; its log begins anew."""
    (folder / f"{contender.key}.log").unlink(missing_ok=True)
    return Server(contender, Place(made, free_port(), folder, best_terms()))


def log_moments(lines: Iterable[str], started: float) -> dict[str, float]:
    """Return {message: seconds since `started`} of the first record of each message; `started` is `time.time()`.

    A message counts up to its first path or number, so that it is the same in each run.
    """
    moments: dict[str, float] = {}
    for line in lines:
        try:
            record = json.loads(line)
            at = datetime.fromisoformat(record["time"]).timestamp() - started
            words = re.split(r"[/\d]", record["message"])[0].strip()
        except (ValueError, TypeError, KeyError):
            continue  # no record of the log
        if words != REFUSAL:
            moments.setdefault(words, at)
    return moments


def import_seconds(lines: Iterable[str]) -> dict[str, float]:
    """Return {top-level package: seconds} of what `-X importtime` wrote, most first; each module's own time alone."""
    seconds: dict[str, float] = {}
    for line in lines:
        if found := _IMPORT.search(line.rstrip()):
            package = found[2].partition(".")[0]
            seconds[package] = seconds.get(package, 0.0) + int(found[1]) / 1e6
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def describe_imports(seconds: Mapping[str, float]) -> str:
    """Return the packages that cost most, and the sum of all others."""
    costs = list(seconds.items())
    named = [f"{package} {cost:.2f}" for package, cost in costs[:IMPORTS]]
    return f"{', '.join(named)}, all others {sum(cost for _, cost in costs[IMPORTS:]):.2f}"
