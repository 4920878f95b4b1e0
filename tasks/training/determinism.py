"""The determinism contract's flags: the launcher sets the variables, the trainer checks them and sets the rest.

Same data, code, lock, settings, seed and hardware class give the same bits only when these hold.
Source: PyTorch's notes on reproducibility, and on numerical accuracy.
"""

import importlib.metadata
import os
import platform
import sys
from typing import Any

import torch

from tasks.errors import TrainingError
from tasks.training.environment import environment, foreign_variables

BACKENDS: Any = torch.backends  # torch's stubs lack some of its flags
INTEROP_THREADS = 1  # torch starts nothing beside the step; where it would, the order is fixed
LIBRARIES = ("numpy", "torchvision")  # the first weights come through them


def seal(*, seed: int, threads: int) -> None:
    """Make torch deterministic in this process, before it has computed anything.

    Raises:
        TrainingError: a variable of `environment` is not set as it must be, one is set that changes the bits, or a
            flag does not hold.
    """
    check_environment(threads)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != INTEROP_THREADS:  # torch refuses a second time
        torch.set_num_interop_threads(INTEROP_THREADS)
    torch.use_deterministic_algorithms(True)
    BACKENDS.cudnn.benchmark = False
    BACKENDS.cudnn.deterministic = True
    for backend in (
        BACKENDS.cuda.matmul,
        BACKENDS.cudnn.conv,
        BACKENDS.cudnn.rnn,
        BACKENDS.mkldnn.conv,
        BACKENDS.mkldnn.matmul,
    ):
        backend.fp32_precision = "ieee"  # TF32 is what a GPU's convolutions take by default
    BACKENDS.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    BACKENDS.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time, adds no bits
    check_flags(threads)


def check_environment(threads: int) -> None:
    """Check this process's variables.

    Raises:
        TrainingError: one is not the contract's, or may change the weights.
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


def flags() -> dict[str, object]:
    """Return torch's flags as they are in this process."""
    return {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "warns_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "cudnn.deterministic": BACKENDS.cudnn.deterministic,
        "cudnn.benchmark": BACKENDS.cudnn.benchmark,
        "cudnn.conv.fp32_precision": BACKENDS.cudnn.conv.fp32_precision,
        "cudnn.rnn.fp32_precision": BACKENDS.cudnn.rnn.fp32_precision,
        "cuda.matmul.fp32_precision": BACKENDS.cuda.matmul.fp32_precision,
        "cuda.matmul.reduced_bf16": BACKENDS.cuda.matmul.allow_bf16_reduced_precision_reduction,
        "cuda.matmul.reduced_fp16": BACKENDS.cuda.matmul.allow_fp16_reduced_precision_reduction,
        "mkldnn.conv.fp32_precision": BACKENDS.mkldnn.conv.fp32_precision,
        "mkldnn.matmul.fp32_precision": BACKENDS.mkldnn.matmul.fp32_precision,
        "default_dtype": str(torch.get_default_dtype()),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
    }


def expected_flags(threads: int) -> dict[str, object]:
    """Return what `flags` must return."""
    return {
        "deterministic_algorithms": True,
        "warns_only": False,
        "cudnn.deterministic": True,
        "cudnn.benchmark": False,
        "cudnn.conv.fp32_precision": "ieee",
        "cudnn.rnn.fp32_precision": "ieee",
        "cuda.matmul.fp32_precision": "ieee",
        "cuda.matmul.reduced_bf16": False,
        "cuda.matmul.reduced_fp16": False,
        "mkldnn.conv.fp32_precision": "ieee",
        "mkldnn.matmul.fp32_precision": "ieee",
        "default_dtype": "torch.float32",
        "threads": threads,
        "interop_threads": INTEROP_THREADS,
    }


def check_flags(threads: int) -> None:
    """Check that torch's flags hold: before training, and after it, should a library have changed one.

    Raises:
        TrainingError: one does not.
    """
    found = flags()
    for name, expected in expected_flags(threads).items():
        if found[name] != expected:
            raise TrainingError(
                f"torch's {name} is {found[name]!r}, expected {expected!r}: something in this process changed it, "
                "and the weights would not be reproducible; see what starts with Python here (sitecustomize)"
            )


def versions() -> dict[str, str]:
    """Return the versions that the weights depend on."""
    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "none",
        "cudnn": str(torch.backends.cudnn.version() or "none"),
        "libc": " ".join(platform.libc_ver()) or "none",
        **{name: installed(name) for name in LIBRARIES},
    }


def installed(name: str) -> str:
    """Return a library's version without importing it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
