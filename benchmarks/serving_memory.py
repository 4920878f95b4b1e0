"""What a worker's memory is, whether it grows, and where the time of a start goes.

    python -m benchmarks.serving_memory [--model cnn] [--requests 200000] [--starts 5] [--most-minutes 10]

Memory: PSS (each shared page split among those who hold it) and RSS of Evergreen's processes after load at 64
connections, with one worker and with its default, beside a process that holds torch and the module alone and has
answered batches of 1 and 64. One after the other, and this process holds no torch: nobody shares their pages.

Growth: the sum of PSS over Evergreen's processes after each stretch of requests at 16 connections (raw pixels, PNG
files and bodies that are refused, in turn), and the line through the last four fifths of the samples.

Start: seconds from the start of a process to the first right answer, beside `import torch` and beside the bare module's
first answers, in turns; then the moments in Evergreen's log, and what its imports cost (`-X importtime`, in a start of
its own, which that slows).
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.served.closed_loop import has_wrk
from benchmarks.served.growth import measure_growth
from benchmarks.served.held import measure_memory
from benchmarks.served.start import measure_starts
from benchmarks.served.subjects import SUBJECTS, Made, make_subject


def main(arguments: Sequence[str]) -> int:
    """Measure memory, growth and start, and print them."""
    options = parse(arguments)
    subject = next(subject for subject in SUBJECTS if subject.key == options.model)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        made = make_subject(subject, Path(folder) / "bundle")
        for line in measure(made, Path(folder), options):
            print(line, flush=True)
    from benchmarks.machine import describe_machine  # noqa: PLC0415 - torch only now, when nothing is measured

    tool = "wrk" if has_wrk() else "own generator"
    print(f"\n{describe_machine()}; {tool}; {time.monotonic() - started:.0f} s in all")
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="cnn", choices=[subject.key for subject in SUBJECTS])
    parser.add_argument("--requests", type=int, default=200_000, help="over which growth is looked for; 0: none")
    parser.add_argument("--most-minutes", type=float, default=10.0, help="that those requests may take")
    parser.add_argument("--starts", type=int, default=5, help="of each process; 0: none")
    return parser.parse_args(arguments)


def measure(made: Made, folder: Path, options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of what is asked for."""
    yield f"### {made.subject.title}: memory\n"
    yield from measure_memory(made, folder / "memory")
    if options.requests:
        yield f"\n### {made.subject.title}: growth\n"
        most_s = 60 * options.most_minutes
        yield from measure_growth(made, folder / "growth", requests=options.requests, most_s=most_s)
    if options.starts:
        yield f"\n### {made.subject.title}: start\n"
        yield from measure_starts(made, folder / "start", count=options.starts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
