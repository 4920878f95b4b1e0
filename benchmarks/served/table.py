"""The benchmark's Markdown."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from benchmarks.ratios import spread
from benchmarks.served.figures import Figures, add_errors, middle
from benchmarks.served.found import ONE_THREAD, Found
from benchmarks.served.goals import at

NONE = "-"

Titles = Mapping[str, str]  # by contender's key, in the table's order


def limits_table(found: Found) -> Iterator[str]:
    """Yield the bare module's images a second, if it was measured."""
    if found.limits:
        yield from _head("the bare module", "batch", "images/s, min / median / max")
    for limit, rates in found.limits.items():
        yield _row(limit, found.batches[limit], spread(rates))


def closed_table(found: Found, titles: Titles) -> Iterator[str]:
    """Yield the closed loop: each contender at each number of connections."""
    columns = ("requests/s, min / median / max", "of one thread's best", "p50, ms", "p99, ms", "errors")
    for connections in sorted({each for by_count in found.closed.values() for each in by_count}):
        yield from _head(at(connections), *columns)
        for key, title in titles.items():
            rounds = found.closed.get(key, {}).get(connections, [])
            if rounds:
                shares = found.shares(key, connections, ONE_THREAD)
                yield _row(
                    title,
                    spread([figures.rate for figures in rounds]),
                    f"{median(shares):.2f}" if shares else NONE,
                    ms(middle([figures.p50_s for figures in rounds])),
                    ms(middle([figures.p99_s for figures in rounds])),
                    describe_errors(rounds),
                )
        yield ""


def open_table(found: Found, titles: Titles) -> Iterator[str]:
    """Yield the open loop: each contender at shares of its own capacity, which is its best median in closed loop."""
    if not found.opened:
        return
    yield from _head(
        "open loop", "sent/s", "answered/s", "p50, ms", "p99, ms", "p99 of 503, ms", "errors", "sent late, p99, ms"
    )
    for key, title in titles.items():
        for percent, rounds in found.opened.get(key, {}).items():
            yield _row(
                f"{title}, {percent} %",
                f"{found.offered[key][percent]:,.0f}",
                f"{middle([figures.rate for figures in rounds]):,.0f}",
                ms(middle([figures.p50_s for figures in rounds])),
                ms(middle([figures.p99_s for figures in rounds])),
                ms(middle([figures.refused_p99_s for figures in rounds])),
                describe_errors(rounds),
                ms(middle([figures.lag_p99_s for figures in rounds])),
            )


def ms(seconds: float) -> str:
    """Return seconds as milliseconds, to three digits."""
    if math.isnan(seconds):
        return NONE
    value = 1000 * seconds
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def describe_errors(rounds: Sequence[Figures]) -> str:
    """Return how often which error came, over all rounds."""
    return ", ".join(f"{count:,} {name}" for name, count in sorted(add_errors(rounds).items())) or "0"


def _head(*columns: str) -> Iterator[str]:
    yield _row(*columns)
    yield f"|---|{'---:|' * (len(columns) - 1)}"


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"
