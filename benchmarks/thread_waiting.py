"""How threads that wait for each other share the machine: training steps/s with libgomp's default and ours.

    python benchmarks/thread_waiting.py [ROUNDS]

Each round trains the built-in CNN for a while under each choice in turn, on a quiet machine and beside busy
processes, four a core; the ratio to libgomp's default is taken round by round. The bits are the same in all.
"""

import os
import statistics
import subprocess
import sys
import time

import torch
from torch.nn import functional

from tasks.training.environment import environment
from tasks.training.network import Classifier, SmallCnn

THREADS = 2
CHOICES = {"libgomp's default": {}, "passive": {"OMP_WAIT_POLICY": "PASSIVE"}, "ours": environment(THREADS)}
BATCH = 128
SECONDS = 5.0
BUSY_PER_CORE = 4


def main(rounds: int) -> None:
    """Print images/s and ratios, each as minimum, median and maximum over the rounds."""
    for load in (0, BUSY_PER_CORE * (os.cpu_count() or 1)):
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(load)]
        try:
            speeds = [{name: measure(variables) for name, variables in CHOICES.items()} for _ in range(rounds)]
        finally:
            for process in busy:
                process.kill()
        print(f"beside {load} busy processes, {rounds} rounds:")
        for name in CHOICES:
            ratios = [speed[name] / speed["libgomp's default"] for speed in speeds]
            print(f"  {name:18} {spread([speed[name] for speed in speeds])} images/s, ratio {spread(ratios)}")


def measure(variables: dict[str, str]) -> float:
    """Return images/s of a fresh process with these variables."""
    world = {**os.environ, "OMP_NUM_THREADS": str(THREADS), **variables}
    done = subprocess.run([sys.executable, __file__, "--train"], env=world, capture_output=True, text=True, check=True)
    return float(done.stdout)


def train() -> float:
    """Train on noise for `SECONDS` of wall time and return images/s."""
    torch.set_num_threads(THREADS)
    small = SmallCnn(1)
    classifier = Classifier(small, small.features, 10, 1).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(classifier.parameters(), fused=True)
    images = torch.randint(0, 255, (BATCH, 1, 28, 28), dtype=torch.uint8)
    labels = torch.randint(0, 10, (BATCH,))

    def step() -> None:
        loss = functional.cross_entropy(classifier(images)[0], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(5):
        step()
    started, steps = time.monotonic(), 0
    while time.monotonic() - started < SECONDS:
        step()
        steps += 1
    return steps * BATCH / (time.monotonic() - started)


def spread(values: list[float]) -> str:
    """Return minimum, median and maximum."""
    return " / ".join(
        f"{value:.3g}" if value < 100 else f"{value:.0f}"
        for value in (min(values), statistics.median(values), max(values))
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["--train"]:
        print(train())
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
