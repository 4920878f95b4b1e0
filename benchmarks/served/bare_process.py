"""The module alone, as fast as it goes: the limit that a server is measured against. A process that waits for orders.

    python -m benchmarks.served.bare_process MODULE IMAGE.npy DEVICE < orders

Each order is a line of JSON, and so is each answer:
    {"is_optimised": true, "threads": 1, "batch": 8, "seconds": 2.0} -> {"rate": images a second}

It imports torch, NumPy and the code that prepares the module, and nothing more: its memory is what they take.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from serving.bundle.module import load_module, optimise_module

_WARM_UP = 4  # calls: TorchScript profiles at the first, and compiles at the second


def main(module: Path, image: Path, device: str) -> None:
    """Measure what each line of standard input asks for."""
    modules: dict[bool, Any] = {}
    warm: set[tuple[bool, int]] = set()
    pixels = torch.from_numpy(np.load(image))
    planes = pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    for line in sys.stdin:
        order = json.loads(line)
        is_optimised = order["is_optimised"]
        if is_optimised not in modules:
            plain = load_module(module, device)
            modules[is_optimised] = optimise_module(plain) if is_optimised else plain
        torch.set_num_threads(order["threads"])
        batch = planes.repeat(order["batch"], 1, 1, 1)
        shape = (is_optimised, order["batch"])
        calls = 1 if shape in warm else _WARM_UP
        warm.add(shape)
        rate = measure(partial(answer, modules[is_optimised], batch, device), order["seconds"], warm_up=calls)
        print(json.dumps({"rate": rate * len(batch)}), flush=True)


@torch.inference_mode()
def answer(module: Any, batch: torch.Tensor, device: str) -> None:
    """Ask the module once, from memory to memory of the host."""
    for found in module(batch.to(device)):
        found.cpu()


def measure(call: Callable[[], object], seconds: float, *, warm_up: int) -> float:
    """Return the calls a second, one after the other, after some that do not count."""
    for _ in range(warm_up):
        call()
    started, calls = time.perf_counter(), 0
    while (took := time.perf_counter() - started) < seconds or not calls:
        call()
        calls += 1
    return calls / took


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
