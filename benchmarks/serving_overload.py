"""What a server does with twice the requests that it can answer: who is refused, how fast, and what the others get.

    python -m benchmarks.serving_overload [--model cnn] [--rounds 3] [--seconds 6] [--times 2] [--contenders evergreen]

In each round its capacity, which is the most that it answers in closed loop at 64 connections, then open loop at 80 and
100 % of the median capacity so far and at so many times that; latency counts from the schedule. Accepted requests are
judged beside those at 100 %. The generator shares the cores, so a server has a little less than its capacity.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.ratios import spread
from benchmarks.served.bench import describe
from benchmarks.served.closed_loop import run_closed_loop
from benchmarks.served.contenders import Place, best_terms, contenders
from benchmarks.served.figures import Figures, add_errors, middle
from benchmarks.served.goals import verdict
from benchmarks.served.open_loop import Load, run_open_loop
from benchmarks.served.servers import BACKLOG_S, LOADING_S, Server, free_port
from benchmarks.served.subjects import SUBJECTS, make_subject
from benchmarks.served.table import describe_errors, ms

CONNECTIONS = 64  # in closed loop
FULL = 100  # percent
BASES = (80, FULL)
REFUSAL_S = 0.02  # the most that the 99th percentile of a refusal may take
SLOWER = 2.0  # times the 99th percentile at capacity that accepted requests may take

Rounds = Mapping[int, Sequence[Figures]]  # by percent


def main(arguments: Sequence[str]) -> int:
    """Overload each contender and print what came of it."""
    options = parse(arguments)
    chosen = [each for each in contenders() if each.key in options.contenders and each.is_there]
    subject = next(subject for subject in SUBJECTS if subject.key == options.model)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        made = make_subject(subject, Path(folder) / "bundle")
        for each in chosen:
            place = Place(made, free_port(), Path(folder) / each.key, best_terms())
            with Server(each, place) as server:
                server.settle(LOADING_S)
                capacities, rounds = overload(server, options)
            for line in (f"\n### {each.title}, {subject.title}\n", *table(capacities, rounds), "", *judge(rounds)):
                print(line)
    from benchmarks.machine import describe_machine  # noqa: PLC0415 - torch only now, when nothing is measured

    print(f"\n{describe_machine()}; {time.monotonic() - started:.0f} s in all")
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="cnn", choices=[subject.key for subject in SUBJECTS])
    names = [each.key for each in contenders()]
    parser.add_argument("--contenders", nargs="+", default=["evergreen"], choices=names)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--times", type=float, default=2.0, help="the capacity that is sent at the worst")
    return parser.parse_args(arguments)


def overload(server: Server, options: argparse.Namespace) -> tuple[list[float], dict[int, list[Figures]]]:
    """Return the capacity in each round, in requests a second, and the figures by percent of it."""
    run_closed_loop(server.asked, server.port, connections=CONNECTIONS, seconds=options.seconds)  # warms up
    capacities: list[float] = []
    rounds: dict[int, list[Figures]] = {percent: [] for percent in (*BASES, round(FULL * options.times))}
    for _ in range(options.rounds):
        closed = run_closed_loop(server.asked, server.port, connections=CONNECTIONS, seconds=options.seconds)
        capacities.append(closed.rate)
        print(f"{CONNECTIONS} connections: {describe(closed)}", file=sys.stderr)
        for percent, found in rounds.items():
            load = Load(median(capacities) * percent / FULL, options.seconds)
            found.append(run_open_loop(load, server.asked, server.port))
            print(f"{percent} %, {load.rate:,.0f}/s: {describe(found[-1])}", file=sys.stderr)
            server.settle(BACKLOG_S)
    server.check()
    return capacities, rounds


def table(capacities: Sequence[float], rounds: Rounds) -> Iterator[str]:
    """Yield the table's lines; percentiles are medians over the rounds."""
    yield f"Capacity, closed loop at {CONNECTIONS} connections: {spread(capacities)} requests/s.\n"
    yield "| sent, % of capacity | answered/s | p50, ms | p99, ms | p99 of 503, ms | errors | sent late, p99, ms |"
    yield "|---:|---:|---:|---:|---:|---:|---:|"
    for percent, found in rounds.items():
        cells = (
            str(percent),
            spread([figures.rate for figures in found]),
            *(ms(middle([seconds(figures) for figures in found])) for seconds in (_p50, _p99, _refused)),
            describe_errors(found),
            ms(middle([figures.lag_p99_s for figures in found])),
        )
        yield f"| {' | '.join(cells)} |"


def judge(rounds: Rounds) -> Iterator[str]:
    """Yield what the worst load did, with the goals."""
    worst = max(rounds)
    full, over = (middle([figures.p99_s for figures in rounds[percent]]) for percent in (FULL, worst))
    refused = middle([figures.refused_p99_s for figures in rounds[worst]])
    if math.isnan(refused):
        yield f"- at {worst} %: nobody was refused, so nothing is judged: the server can answer more than was measured"
        return
    yield f"- at {worst} %: p99 of a refusal {ms(refused)} ms{verdict(refused < REFUSAL_S, 'under 20 ms')}"
    yield (
        f"- at {worst} %: p99 of what was accepted {over / full:.2f} times that at {FULL} %"
        f"{verdict(over <= SLOWER * full, f'at most {SLOWER:g}')}"
    )
    others = {name: count for name, count in add_errors(rounds[worst]).items() if name != "503"}
    yield f"- at {worst} %: {sum(others.values())} errors that are no 503{verdict(not others, 'none')}"


def _p50(figures: Figures) -> float:
    return figures.p50_s


def _p99(figures: Figures) -> float:
    return figures.p99_s


def _refused(figures: Figures) -> float:
    return figures.refused_p99_s


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
