"""Whether memory grows with the requests that were answered: a line through samples of it."""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy import stats

from benchmarks.memory import pss_bytes
from benchmarks.ratios import spread
from benchmarks.served.closed_loop import run_closed_loop
from benchmarks.served.contenders import EVERGREEN, Place, best_terms
from benchmarks.served.goals import verdict
from benchmarks.served.servers import LOADING_S, Server, free_port
from benchmarks.served.subjects import Asked, Made

MIB = 2**20
STRETCH_S = 8.0  # between two samples
CONNECTIONS = 16
SKIPPED = 5  # one in so many samples: the first ones, while caches and pools fill


@dataclass(frozen=True)
class Growth:
    """Bytes a request: the slope of a line through the samples, with its 95 % interval."""

    slope: float
    low: float
    high: float
    samples: int

    @property
    def is_noise(self) -> bool:
        """Whether the line may as well be level, or falls; so it is where all samples are alike."""
        return not self.low > 0


def fit_growth(requests: Sequence[float], sizes: Sequence[float]) -> Growth:
    """Return the growth of sizes in bytes over the requests until each, by least squares.

    Raises:
        ValueError: there are fewer than three samples, or they are not pairs.
    """
    if len(requests) != len(sizes) or len(sizes) < 3:
        raise ValueError(f"{len(requests)} and {len(sizes)} samples, expected as many of each, and 3 or more")
    line = stats.linregress(requests, sizes)
    slope, reach = float(line.slope), float(stats.t.ppf(0.975, len(sizes) - 2) * line.stderr)
    return Growth(slope, slope - reach, slope + reach, len(sizes))


def measure_growth(made: Made, folder: Path, *, requests: int, most_s: float) -> Iterator[str]:
    """Yield what so many requests, or those of so many seconds, add to Evergreen's memory."""
    counted, sizes = sample(made, folder, requests=requests, until=time.monotonic() + most_s)
    yield f"PSS of all its processes after each {STRETCH_S:.0f} s, MiB: {spread([size / MIB for size in sizes])}"
    yield ""
    skipped = len(sizes) // SKIPPED
    if len(sizes) - skipped < 3:
        yield f"- {counted[-1]:,.0f} requests are too few for a line"
        return
    line = fit_growth(counted[skipped:], sizes[skipped:])
    slope, low, high = (100_000 / MIB * value for value in (line.slope, line.low, line.high))
    yield (
        f"- over {counted[-1]:,.0f} requests: {slope:+.2f} MiB in 100,000 (95 % interval {low:+.2f} to {high:+.2f}, "
        f"n = {line.samples}){verdict(line.is_noise, 'no growth beyond noise')}"
    )


def sample(made: Made, folder: Path, *, requests: int, until: float) -> tuple[list[float], list[float]]:
    """Return how many requests were answered until each sample, and the bytes of each."""
    with Server(EVERGREEN, Place(made, free_port(), folder, best_terms())) as server:
        server.settle(LOADING_S)
        run_closed_loop(mix(made), server.port, connections=CONNECTIONS, seconds=STRETCH_S)  # warms up
        counted, sizes = [0.0], [total_pss(server)]
        while counted[-1] < requests and time.monotonic() < until:
            found = run_closed_loop(mix(made), server.port, connections=CONNECTIONS, seconds=STRETCH_S)
            refused = sum(found.errors.values())  # a refusal is an answer too
            counted.append(counted[-1] + found.rate * STRETCH_S + refused)
            sizes.append(total_pss(server))
            print(f"{counted[-1]:,.0f} requests: {sizes[-1] / MIB:,.1f} MiB", file=sys.stderr)
        server.check()
    return counted, sizes


def mix(made: Made) -> list[Asked]:
    """Return requests of several kinds: raw pixels, a PNG file, and a body that is refused."""
    raw = EVERGREEN.ask(made)
    png = Asked(raw.path, {"content-type": "image/png"}, made.png)
    return [raw, png, Asked(raw.path, raw.headers, raw.body[:-1])]


def total_pss(server: Server) -> float:
    """Return the sum of a server's processes, in bytes."""
    return float(sum(pss_bytes(process.pid) for process in server.family()))
