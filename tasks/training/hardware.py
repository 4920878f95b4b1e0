"""The hardware class: machines of one class give the same bits."""

import platform
import subprocess

import torch

from tasks.errors import ConfigError


def choose_device(wanted: str) -> torch.device:
    """Return the device for `auto`, `cpu` or `cuda`.

    Raises:
        ConfigError: cuda is wanted and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("training.device = 'cuda', but torch sees no GPU: set it to 'auto' or 'cpu'")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def hardware_class(device: torch.device, threads: int) -> dict[str, str]:
    """Return what of the hardware the bits depend on: GPU and driver, or instruction set and threads."""
    if device.type == "cuda":
        return {"device": "cuda", "gpu": torch.cuda.get_device_name(device), "driver": driver_version()}
    return {
        "device": "cpu",
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(threads),
    }


def driver_version() -> str:
    """Return the version of the GPU driver, as nvidia-smi says it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        return f"unknown ({type(error).__name__})"
    return done.stdout.splitlines()[0].strip()
