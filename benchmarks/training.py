"""Evergreen's training beside a textbook loop and Lightning's: speed, time to an accuracy, memory; determinism's cost.

    python -m benchmarks.training [--architectures small_cnn resnet18] [--rounds 3] [--pairs 10] [--epochs 2]

(a) a textbook loop, (b) Lightning's Trainer, (c) Evergreen's training, not deterministic, (d) Evergreen's as shipped.

On the project's data and recipe, with no augmentation but the flip. All have the same network, first weights, batch,
precision (float32; on a GPU bfloat16 autocast), channels_last, fused AdamW, one-cycle schedule, label smoothing, epochs
and number of threads; the peers have images in memory that come as Pillow's, as those of torchvision's datasets do, its
v2 transforms, two persistent loader workers, and pinned memory on a GPU. Ours also averages its
weights, and (d) writes its checkpoints. How threads wait for each other is libgomp's default for the peers and the
contract's for ours, which matters where loader workers want the cores too; (a') is (a) with the contract's. Each
measurement is a process of its own; the order turns from round to round, and (c) and (d) are repeated until there are
enough pairs for the price of determinism (of other architectures than the built-in, on a CPU: in the rounds alone).

Speed is taken after a warm-up: on a CPU over some hundred steps (of other architectures than the built-in: a few), on
a GPU over whole epochs, at whose end the host waits for it. The time to the accuracy is that of a whole training with
a schedule of `--epochs`, from its start to the end of its last epoch; --epochs 0 leaves it out.

Lightning comes with `uv pip install --group benchmarks`; without it (b) is left out. Memory is read as Linux tells it.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.contenders import FREE, PATIENT, SHIPPED, Contender, contenders
from benchmarks.machine import describe_machine
from benchmarks.observe import Observed, epochs_speed, observe, steps_speed
from benchmarks.score import score
from benchmarks.subject import prepare_pixels, spec_of, write_spec
from benchmarks.training_table import GOALS, Figures, Goals, peer_versions, table, verdicts
from tasks.settings import load_settings
from tasks.training.spec import TrainingSpec

FLIP_ONLY = {"flip": True, "shift_px": 0, "rotate_degrees": 0.0, "erase_px": 0, "brightness": 0.0, "contrast": 0.0}
BUILT_IN = "small_cnn"
WINDOW = (50, 400)  # of the built-in network on a CPU: steps of warm-up, and steps that count, with two checkpoints
LARGE_WINDOW = (1, 5)  # of another, whose step takes seconds
GPU_EPOCHS = 3  # the first is the warm-up


def main(arguments: Sequence[str]) -> int:
    """Measure what the arguments say and print the tables."""
    options = parse(arguments)
    settings = load_settings()
    pixels = prepare_pixels(settings)
    everyone = [each for each in contenders() if each.key in options.contenders]
    started = time.monotonic()
    for architecture in options.architectures:
        spec = spec_of(settings, pixels, architecture=architecture, **FLIP_ONLY)
        who = [each for each in everyone if each is not PATIENT or architecture == BUILT_IN]
        bench = Bench(spec, {each: Figures() for each in who})
        bench.measure(options)
        print(f"\n### {architecture}\n")
        for line in (*table(bench.figures, options.accuracy), "", *verdicts(bench.figures, bench.goals)):
            print(line)
    print(
        f"\n{describe_machine()}, {peer_versions()}; {settings.training.threads} threads; "
        f"{time.monotonic() - started:.0f} s in all"
    )
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--architectures", nargs="+", default=[BUILT_IN, "resnet18"])
    parser.add_argument("--contenders", nargs="+", default=["a", "a'", "b", "c", "d"], help="keys: a a' b c d")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each contender's speed")
    parser.add_argument("--pairs", type=int, default=10, help="pairs of (c) and (d), those of the rounds among them")
    parser.add_argument("--epochs", type=int, default=2, help="of the training whose time is taken; 0: none is")
    parser.add_argument("--accuracy", type=float, default=0.90, help="that it is to reach on the test images")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Bench:
    """One architecture's training, and what was measured of each contender so far."""

    spec: TrainingSpec
    figures: dict[Contender, Figures]

    @property
    def is_cuda(self) -> bool:
        """Whether the training is on a GPU."""
        return self.spec.device != "cpu" and torch.cuda.is_available()

    @property
    def goals(self) -> Goals | None:
        """What is to be reached on this device, if anything."""
        return GOALS.get(("cuda" if self.is_cuda else "cpu", self.spec.recipe.architecture))

    @property
    def is_quick(self) -> bool:
        """Whether a measurement takes seconds: of the built-in network, or on a GPU."""
        return self.is_cuda or self.spec.recipe.architecture == BUILT_IN

    def measure(self, options: argparse.Namespace) -> None:
        """Measure speeds round by round, then further pairs of (c) and (d), then times; the latter two if quick."""
        for number in range(max(options.rounds, options.pairs if self.is_quick else 0)):
            who = [each for each in self.figures if number < options.rounds or each in {FREE, SHIPPED}]
            self.measure_speeds(who, is_turned=number % 2 == 1)
        if options.epochs and self.is_quick:
            self.measure_times(options.epochs)

    def measure_speeds(self, who: Sequence[Contender], *, is_turned: bool) -> None:
        """Measure each contender's speed once, in their order or in the opposite one."""
        warmup, counted = WINDOW if self.spec.recipe.architecture == BUILT_IN else LARGE_WINDOW
        for each in reversed(who) if is_turned else who:
            if self.is_cuda:
                observed, _ = self.run(each, epochs=GPU_EPOCHS)
                speed = epochs_speed(observed.events)
            else:
                observed, _ = self.run(each, until_step=warmup + counted)
                speed = steps_speed(observed.events, batch_size=self.spec.recipe.batch_size, warmup_steps=warmup)
            self.figures[each].speeds.append(speed)
            self.note(each, observed, f"{speed:,.0f} images/s")

    def measure_times(self, epochs: int) -> None:
        """Train to the end with each contender once: its time, and its accuracy on the test images."""
        for each, figures in self.figures.items():
            if each is PATIENT:
                continue  # it is there for its speed
            observed, figures.test_accuracy = self.run(each, epochs=epochs)
            figures.training_s = observed.last("epoch")["at_s"] - observed.last("start")["at_s"]
            figures.process_s = observed.seconds
            self.note(each, observed, f"{figures.training_s:.1f} s, test accuracy {figures.test_accuracy:.4f}")

    def run(
        self, each: Contender, *, epochs: int | None = None, until_step: int | None = None
    ) -> tuple[Observed, float | None]:
        """Run one process; to its end it also gives the accuracy on the test images."""
        recipe = replace(self.spec.recipe, epochs=epochs or self.spec.recipe.epochs)
        with tempfile.TemporaryDirectory() as folder:
            file, out = write_spec(replace(self.spec, recipe=recipe), Path(folder)), Path(folder) / "out"
            observed = observe(each.command(file, out), each.variables(self.spec.threads), until_step=until_step)
            if until_step:
                return observed, None
            accuracy = score(out, Path(self.spec.pixels)) if each.is_ours else observed.last("end")["test_accuracy"]
            return observed, accuracy

    def note(self, each: Contender, observed: Observed, said: str) -> None:
        """Keep a measurement's memory, and say on stderr how it went."""
        figures = self.figures[each]
        figures.peak_bytes = max(figures.peak_bytes, observed.peak_bytes)
        figures.gpu_bytes = max(figures.gpu_bytes, observed.gpu_bytes)
        name = f"{self.spec.recipe.architecture} ({each.key}) {each.title}"
        print(f"{name}: {said}; process {observed.seconds:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
