"""What torch.compile would give the training: speed, the time until it has compiled, and whether the bits stay.

    python -m benchmarks.compiled [--architecture small_cnn] [--epochs 2]

The shipped training, and the same with its network compiled, two processes of it, each with an empty cache; it needs a
C++ compiler. Compilation pays when the steps saved are worth more than the wait for the first.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contenders import SHIPPED
from benchmarks.machine import describe_machine
from benchmarks.observe import Observed, observe, steps_speed
from benchmarks.subject import prepare_pixels, spec_of, write_spec
from tasks.settings import load_settings
from tasks.training.environment import launch_environment
from tasks.training.spec import TrainingSpec

COMPILED = [sys.executable, "-m", "benchmarks.peers.compiled"]
COMPILERS = ("c++", "g++", "clang++")
WARMUP_STEPS = 100


def main(arguments: Sequence[str]) -> int:
    """Train three times and print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--architecture", default="small_cnn")
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args(arguments)
    if not any(map(shutil.which, COMPILERS)):
        print(f"torch.compile needs one of {', '.join(COMPILERS)}: install one", file=sys.stderr)
        return 2
    settings = load_settings()
    spec = spec_of(settings, prepare_pixels(settings), architecture=options.architecture, epochs=options.epochs)
    eager, first, second = (train(spec, is_compiled=is_compiled) for is_compiled in (False, True, True))
    print("| | images/s | start to first step, s | whole process, s | weights |")
    print("|---|---:|---:|---:|---|")
    for name, observed in (("as shipped", eager), ("compiled", first), ("compiled again", second)):
        print(f"| {name} | {' | '.join(row(observed, spec))} |")
    is_kept = first.last("end")["weights_sha256"] == second.last("end")["weights_sha256"]
    print(f"\nThe two compiled processes have {'the same' if is_kept else 'DIFFERENT'} weights.")
    print(describe_machine())
    return 0


def train(spec: TrainingSpec, *, is_compiled: bool) -> Observed:
    """Train in a process of its own, with an empty cache of compiled code."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = write_spec(spec, Path(folder)), Path(folder) / "out"
        variables = {**launch_environment(spec.threads), "TORCHINDUCTOR_CACHE_DIR": str(Path(folder) / "cache")}
        command = [*COMPILED, str(file), str(out)] if is_compiled else SHIPPED.command(file, out)
        return observe(command, variables)


def row(observed: Observed, spec: TrainingSpec) -> tuple[str, ...]:
    """Return the cells of one process."""
    speed = steps_speed(observed.events, batch_size=spec.recipe.batch_size, warmup_steps=WARMUP_STEPS)
    first = next(event["at_s"] for event in observed.events if event["event"] == "step")
    wait_s = first - next(event["at_s"] for event in observed.events if event["event"] == "start")
    weights = observed.last("end")["weights_sha256"][:16]
    return f"{speed:,.0f}", f"{wait_s:.1f}", f"{observed.seconds:.1f}", weights


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
