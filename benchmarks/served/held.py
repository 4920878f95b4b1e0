"""The memory of Evergreen's processes after load, beside that of torch with the module alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.memory import pss_bytes
from benchmarks.served.bare import MAX_BATCH, Bare
from benchmarks.served.closed_loop import run_closed_loop
from benchmarks.served.contenders import EVERGREEN, ONE_WORKER, Contender, Place, best_terms
from benchmarks.served.goals import verdict
from benchmarks.served.servers import LOADING_S, Server, free_port
from benchmarks.served.subjects import Made

MIB = 2**20
MOST = 1.3  # times the bare module's memory, a worker
LOAD = (64, 5.0)  # connections and seconds, before memory is read


@dataclass(frozen=True)
class Held:
    """The memory of one process, in bytes."""

    pss: int
    rss: int


def measure_memory(made: Made, folder: Path) -> Iterator[str]:
    """Yield the memory of the bare module and of Evergreen, with the goal."""
    bare = hold_bare(made, folder)
    found = [("one worker", 1, hold_server(ONE_WORKER, made, folder / "one"))]
    if (workers := best_terms().workers) > 1:
        found.append((f"{workers} workers, its default", workers, hold_server(EVERGREEN, made, folder / "default")))
    yield "| | processes | PSS, MiB | RSS, MiB |"
    yield "|---|---:|---:|---:|"
    yield f"| torch and the module | 1 | {bare.pss / MIB:,.0f} | {bare.rss / MIB:,.0f} |"
    for title, _, processes in found:
        pss, rss = in_mib([each.pss for each in processes]), in_mib([each.rss for each in processes])
        yield f"| Evergreen, {title} | {len(processes)} | {pss} | {rss} |"
    yield ""
    yield from judge_memory(bare, found)


def judge_memory(bare: Held, found: Sequence[tuple[str, int, Sequence[Held]]]) -> Iterator[str]:
    """Yield the ratio to the bare module's memory; `found` has (title, workers, processes)."""
    for title, workers, processes in found:
        ratio = sum(held.pss for held in processes) / workers / bare.pss
        largest = max(held.rss for held in processes) / bare.rss
        goal = verdict(max(ratio, largest) < MOST, f"under {MOST}")
        yield f"- {title}: {ratio:.2f} times its PSS a worker, {largest:.2f} times its RSS in the largest process{goal}"


def hold_bare(made: Made, folder: Path) -> Held:
    """Return the memory of torch with the module, after a lone image and a full batch, on one thread."""
    with Bare(made, folder / "bare", "cpu") as bare:
        for batch in (1, MAX_BATCH):
            bare.rate(threads=1, batch=batch, seconds=1.0)
        return read_held(psutil.Process(bare.pid))


def hold_server(contender: Contender, made: Made, folder: Path) -> list[Held]:
    """Return the memory of each of a server's processes after load."""
    with Server(contender, Place(made, free_port(), folder, best_terms())) as server:
        server.settle(LOADING_S)
        connections, seconds = LOAD
        run_closed_loop(server.asked, server.port, connections=connections, seconds=seconds)
        return [read_held(process) for process in server.family()]


def read_held(process: psutil.Process) -> Held:
    """Return a process's memory now."""
    return Held(pss_bytes(process.pid), process.memory_info().rss)


def in_mib(sizes: Sequence[int]) -> str:
    """Return the sum of sizes, and its parts where there are some."""
    total = f"{sum(sizes) / MIB:,.0f}"
    return total if len(sizes) == 1 else f"{total} = {' + '.join(f'{size / MIB:,.0f}' for size in sizes)}"
