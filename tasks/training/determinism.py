"""The determinism contract's flags: the launcher sets them, the trainer checks them and refuses otherwise.

Same data, code, lock, settings, seed and hardware class give the same bits only when these hold.
Source: PyTorch's notes on reproducibility.
"""

import os
import sys

import torch

from tasks.errors import TrainingError
from tasks.training.environment import environment, foreign_variables


def seal(*, seed: int, threads: int) -> None:
    """Make torch deterministic in this process.

    Raises:
        TrainingError: a variable of `environment` is not set as it must be, or one is set that changes the bits.
    """
    for name, value in environment(threads).items():
        if os.environ.get(name) != value:
            raise TrainingError(
                f"{name} is {os.environ.get(name)!r}, expected {value!r}: start training through tasks.training.run"
            )
    if foreign := foreign_variables(os.environ, threads):
        raise TrainingError(
            f"{', '.join(foreign)}: set, and may change the weights, expected unset: "
            "start training through tasks.training.run"
        )
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time, adds no bits


def versions() -> dict[str, str]:
    """Return the versions that the weights depend on."""
    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "none",
        "cudnn": str(torch.backends.cudnn.version() or "none"),
    }
