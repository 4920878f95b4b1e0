"""What share of the device's peak the training reaches, and what the rest of its time is spent on.

    python -m benchmarks.device_share [--architecture small_cnn] [--steps 100]

The peak is measured: the best of some large matrix products in the training's precision (float32 on a CPU, bfloat16 on
a GPU). The training's arithmetic is counted by torch's own counter: convolutions and matrix products, forward and
backward. The operations' times are those of torch's profiler, on the device's own clock where it is a GPU.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import describe_machine
from benchmarks.subject import prepare_pixels, spec_of, write_spec
from tasks.settings import load_settings
from tasks.training.determinism import seal
from tasks.training.environment import launch_environment
from tasks.training.feed import Feed
from tasks.training.hardware import choose_device
from tasks.training.pixels import Rows, open_pixels
from tasks.training.spec import TrainingSpec, read_spec
from tasks.training.step import Stepper
from tasks.training.trainer import new_classifier

WARMUP_STEPS = 10
PROFILED_STEPS = 10
ROWS = 10  # operations that are named
PRODUCT_SIDES = {"cpu": 1024, "cuda": 8192}
PRODUCTS = 20


def main(arguments: Sequence[str]) -> int:
    """Look at one architecture's training, in a process with the contract's variables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--architecture", default="small_cnn")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)  # the spec's file, in that process
    options = parser.parse_args(arguments)
    if options.inside:
        look(read_spec(options.inside), options.steps)
        return 0
    settings = load_settings()
    spec = spec_of(settings, prepare_pixels(settings), architecture=options.architecture)
    with tempfile.TemporaryDirectory() as folder:
        inside = ["--inside", str(write_spec(spec, Path(folder)))]
        command = [sys.executable, "-m", "benchmarks.device_share", *arguments, *inside]
        return subprocess.run(command, env=launch_environment(spec.threads), check=False).returncode


def look(spec: TrainingSpec, steps: int) -> None:
    """Measure, count, profile and print."""
    seal(seed=spec.seed, threads=spec.threads)
    device = choose_device(spec.device)
    feed = Feed(open_pixels(Path(spec.pixels), Rows.TRAIN), spec, device)
    classifier = new_classifier(spec, feed).to(device, memory_format=torch.channels_last)
    classifier.train()
    stepper = Stepper(classifier, spec, steps=spec.recipe.epochs * feed.steps, class_weights=feed.class_weights)
    batches = endless(feed)

    def step() -> None:
        stepper.step(*next(batches))

    seconds = timed(step, WARMUP_STEPS, device) and timed(step, steps, device) / steps
    operations = count_operations(step)
    reached, peak = operations / seconds, peak_operations(device)
    print(
        f"{spec.recipe.architecture}, batch {spec.recipe.batch_size}: {spec.recipe.batch_size / seconds:,.0f} images/s"
    )
    print(f"{reached / 1e9:,.1f} GFLOP/s of {peak / 1e9:,.1f} in matrix products: {reached / peak:.1%} of the peak\n")
    print("| operation | share of the time | calls a step |")
    print("|---|---:|---:|")
    for name, share, calls in profiled(step, device):
        print(f"| {name} | {share:.1%} | {calls:.1f} |")
    print(f"\n{describe_machine()}; {spec.threads} threads, {steps} steps")


def endless(feed: Feed) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches, epoch after epoch."""
    epoch = 0
    while True:
        yield from feed.batches(epoch)
        epoch += 1


def timed(act: Callable[[], object], times: int, device: torch.device) -> float:
    """Return the seconds that `times` calls take, the device's work included."""
    started = time.monotonic()
    for _ in range(times):
        act()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic() - started


def count_operations(step: Callable[[], object]) -> int:
    """Return the floating-point operations of one step's convolutions and matrix products, both ways."""
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    return int(counter.get_total_flops())


def peak_operations(device: torch.device) -> float:
    """Return the floating-point operations a second of the fastest of some large matrix products."""
    side = PRODUCT_SIDES[device.type]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    one, other = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
    best = min(timed(lambda: one @ other, 1, device) for _ in range(PRODUCTS))
    return float(2 * side**3 / best)


def profiled(step: Callable[[], object], device: torch.device) -> list[tuple[str, float, float]]:
    """Return the operations that take most of a step: name, share of the time, calls a step."""
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with profile(activities=activities) as found:
        timed(step, PROFILED_STEPS, device)
    clock = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    events = sorted(found.key_averages(), key=lambda event: getattr(event, clock), reverse=True)
    total = sum(getattr(event, clock) for event in events)
    return [(event.key, getattr(event, clock) / total, event.count / PROFILED_STEPS) for event in events[:ROWS]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
