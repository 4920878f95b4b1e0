"""One training undisturbed, and once more killed at random steps and resumed each time: the weights must be the same.

    python -m benchmarks.kills [N=20] [--epochs E] [--checkpoint-steps S] [--seed SEED]

The project's recipe on the project's data. Each kill is a SIGKILL to the training process, up to 0.1 s after it told
of a step, so that it falls anywhere in a step or in the writing of a checkpoint. Exit code 1 where the weights differ.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from benchmarks.machine import describe_machine
from benchmarks.subject import prepare_pixels, spec_of
from tasks.errors import TrainingError
from tasks.settings import load_settings
from tasks.training.checkpoint import DIGEST_BYTES, FOLDER, file_of
from tasks.training.result import TrainedModel
from tasks.training.run import train
from tasks.training.spec import TrainingSpec

DELAY_S = 0.1  # at most, between a step's report and the kill
LAST_SHARE = 0.95  # of the steps: a later kill could come after the end


@dataclass
class Attempt:
    """One process of a training in `out`: what it began with, how far it told to be, and whether it was killed."""

    out: Path
    target: int | None = None  # the step from which on it is killed
    delay_s: float = 0.0
    step: int = 0
    resumed_step: int = 0
    checkpoint_sha256: str = ""
    is_killed: bool = False

    def take(self, event: Mapping[str, Any]) -> None:
        """Take an event of the process, and kill it when it is time."""
        if event["event"] == "resumed":
            self.resumed_step = event["step"]
            with file_of(self.out / FOLDER, self.resumed_step).open("rb") as file:
                self.checkpoint_sha256 = file.read(DIGEST_BYTES - 1).decode()
        if event["event"] == "step":
            self.step = event["step"]
            if self.target is not None and self.step >= self.target and not self.is_killed:
                time.sleep(self.delay_s)
                self.is_killed = kill_training()


def kill_training() -> bool:
    """Send SIGKILL to the training process that this one started; False where it has ended."""
    for process in psutil.Process().children():
        if "tasks.training" in process.cmdline():
            process.kill()
            return True
    return False


def main(arguments: Sequence[str]) -> int:
    """Train twice, print the kills and both digests, and return the exit code."""
    options = parse(arguments)
    settings = load_settings()
    recipe = {"epochs": options.epochs} if options.epochs else {}
    spec = spec_of(settings, prepare_pixels(settings), **recipe)
    if options.checkpoint_steps:
        spec = replace(spec, execution=replace(spec.execution, checkpoint_steps=options.checkpoint_steps))
    with tempfile.TemporaryDirectory() as folder:
        say("undisturbed")
        whole, steps = train_whole(spec, Path(folder) / "whole")
        say(f"{steps} steps in {whole.seconds:.0f} s; now with {options.kills} kills")
        draw = random.Random(options.seed)  # noqa: S311  # where to kill, nothing secret
        targets = sorted(draw.sample(range(1, int(steps * LAST_SHARE)), options.kills))
        killed, attempts = train_killed(spec, Path(folder) / "killed", targets, draw)
    print_report(whole, killed, attempts)
    return 0 if killed.weights_sha256 == whole.weights_sha256 else 1


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kills", type=int, nargs="?", default=20)
    parser.add_argument("--epochs", type=int, help="instead of training.epochs")
    parser.add_argument("--checkpoint-steps", type=int, help="instead of training.checkpoint_steps")
    parser.add_argument("--seed", type=int, default=1, help="of the steps at which it is killed")
    return parser.parse_args(arguments)


def train_whole(spec: TrainingSpec, out: Path) -> tuple[TrainedModel, int]:
    """Train undisturbed; return the result and the number of steps."""
    steps = 0

    def count(event: Mapping[str, Any]) -> None:
        nonlocal steps
        steps = event.get("step", steps)

    return train(spec, out, count), steps


def train_killed(
    spec: TrainingSpec, out: Path, targets: Sequence[int], draw: random.Random
) -> tuple[TrainedModel, list[Attempt]]:
    """Train, killed from each target step on in turn, and then to the end; return the result and all attempts.

    Raises:
        TrainingError: the training failed by itself.
    """
    attempts = []
    for target in targets:
        attempt = Attempt(out, target, draw.uniform(0, DELAY_S))
        attempts.append(attempt)
        try:
            train(spec, out, attempt.take)
        except TrainingError:
            if not attempt.is_killed:
                raise
        say(f"kill {len(attempts)} of {len(targets)}: after step {attempt.step}, begun at {attempt.resumed_step}")
    last = Attempt(out)
    return train(spec, out, last.take), [*attempts, last]


def print_report(whole: TrainedModel, killed: TrainedModel, attempts: Sequence[Attempt]) -> None:
    """Print the kills as a Markdown table, and both digests."""
    print("| kill | after step | resumed from step | SHA-256 of that checkpoint |")
    print("|---:|---:|---:|---|")
    for number, (attempt, following) in enumerate(pairwise(attempts), 1):
        if attempt.is_killed:
            found = following.checkpoint_sha256 or "none yet: from the start"
            print(f"| {number} | {attempt.step} | {following.resumed_step} | {found} |")
    is_equal = killed.weights_sha256 == whole.weights_sha256
    print(f"\nweights, undisturbed: {whole.weights_sha256}")
    print(f"weights, {sum(attempt.is_killed for attempt in attempts)} kills:    {killed.weights_sha256}")
    print("the same bits" if is_equal else "DIFFERENT")
    print(f"{whole.architecture}, seed {whole.seed}; {describe_machine()}")


def say(text: str) -> None:
    """Tell how far it is, on stderr."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
