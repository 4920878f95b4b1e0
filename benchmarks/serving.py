"""Evergreen's server beside others and beside two limits, in one run: requests a second, latencies, errors.

    python -m benchmarks.serving [--models cnn resnet18 mobilenet] [--contenders evergreen bare ...] [--rounds 3]

Contenders: Evergreen (`python -m serving` with its defaults), LitServe, BentoML, `mlflow models serve`, a textbook
FastAPI app. Limits: the bare module (batch 1, and the best batch on one thread and on two), and "constant", Evergreen
with a model that returns a constant. All serve the same module, frozen and optimised where that is faster, and are
asked in the way that suits them best: raw bytes (Evergreen, LitServe, FastAPI), JSON with base64 (BentoML), JSON with
numbers, of large images with base64 (mlflow). Each must give the bare module's answer before anything is measured, and
after each measurement. The networks are kept in benchmarks/served/networks.py, with random weights of a fixed seed.

The peers' terms are the best that we know (--terms best): as many processes and torch threads as Evergreen chooses for
the cores, and batches where they have them; or those of their documentation's first page (--terms first): one process,
torch's own threads, no batches. Evergreen's are its defaults in both.

Closed loop by wrk: 1, 16 and 64 connections, in rounds whose order turns; the servers that are not measured are
stopped meanwhile (SIGSTOP). Then open loop, requests on a fixed schedule, latency from the schedule: 50, 80 and 120 %
of each contender's own capacity, which is its best median in closed loop. The generator shares the cores.

wrk is a Debian package (apt-get install wrk); without it the benchmark's own generator does its part, and that is
said. A contender that is not installed is left out, and that is said. They live in an environment of their own:

    uv venv --python 3.11 build/peers
    export UV_FIND_LINKS=FOLDER  # where torch's CPU wheel is, if not in the registry
    uv pip install --python build/peers --compile-bytecode -r benchmarks/served/peers/requirements.txt
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.served.bench import Bench, Plan, planned_seconds
from benchmarks.served.closed_loop import has_wrk
from benchmarks.served.contenders import Contender, best_terms, contenders, first_terms, peer_versions
from benchmarks.served.goals import goals_of, judge_goals
from benchmarks.served.subjects import SUBJECTS
from benchmarks.served.table import closed_table, limits_table, open_table

LIMITS = ("bare", "constant")
TERMS = {"best": best_terms, "first": first_terms}
PLANS = {  # seconds in closed loop by connections: long enough for some hundred answers of a slow server
    "cnn": Plan(rounds=3, closed_s={1: 3, 16: 4, 64: 4}, open_s=4, bare_s=2),
    "resnet18": Plan(rounds=2, closed_s={1: 2, 16: 4, 64: 6}, open_s=4, bare_s=2),
    "mobilenet": Plan(rounds=2, closed_s={1: 2, 16: 4, 64: 6}, open_s=4, bare_s=2),
}


def main(arguments: Sequence[str]) -> int:
    """Measure what the arguments say and print the tables."""
    options = parse(arguments)
    terms = TERMS[options.terms](options.device)
    who = [each for each in contenders() if each.key in options.contenders and is_there(each)]
    plans = {key: PLANS[key].changed(options) for key in options.models}
    estimate = sum(planned_seconds(plan, len(who) + ("constant" in options.contenders)) for plan in plans.values())
    print(f"about {estimate / 60:.0f} minutes", file=sys.stderr)
    if not has_wrk():
        print("wrk is not installed (apt-get install wrk): the benchmark's own generator is used", file=sys.stderr)
    started = time.monotonic()
    for subject in (each for each in SUBJECTS if each.key in options.models):
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(subject, plans[subject.key], terms, Path(folder))
            found = bench.measure(who, with_limits=[each for each in LIMITS if each in options.contenders])
        titles = bench.titles
        print(f"\n### {subject.title}: {bench.made.parameters:,} parameters\n")
        for line in (
            *limits_table(found), "", *closed_table(found, titles), *open_table(found, titles), "",
            *(f"- {sentence}" for sentence in judge_goals(found, goals_of(subject.key, terms.device))),
            *(f"- {title} is left out: {reason}" for title, reason in found.left_out.items()),
            f"- {bench.said}",
        ):  # fmt: skip
            print(line, flush=True)
    from benchmarks.machine import describe_machine  # noqa: PLC0415 - torch only now, when nothing is measured

    tool = "wrk" if has_wrk() else "own generator"
    peers = f"peers' terms: {options.terms}, {terms.workers} x {terms.threads} threads; {peer_versions(who)}"
    print(f"\n{describe_machine()}; {tool}; {peers}; {time.monotonic() - started:.0f} s in all")
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    names = [*(each.key for each in contenders()), *LIMITS]
    models = [subject.key for subject in SUBJECTS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=models, choices=models)
    parser.add_argument("--contenders", nargs="+", default=names, choices=names)
    parser.add_argument("--rounds", type=int, help="measurements of each contender in closed loop")
    parser.add_argument("--seconds", type=float, help="of each measurement, instead of what suits each model")
    parser.add_argument("--connections", type=int, nargs="+", help="in closed loop: 1 16 64")
    parser.add_argument("--shares", type=int, nargs="*", default=[50, 80, 120], help="of capacity, percent; none: no")
    parser.add_argument("--terms", default="best", choices=TERMS, help="of the peers")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    return parser.parse_args(arguments)


def is_there(contender: Contender) -> bool:
    """Whether a contender can be measured here; if not, that is said."""
    if not contender.is_there:
        print(f"{contender.title} is left out: it is not in build/peers (how: benchmarks/serving.py)", file=sys.stderr)
    return contender.is_there


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
