"""What the figures are of."""

import os
import platform

import psutil
import torch


def describe_machine() -> str:
    """Return the hardware, with the versions of Python and torch."""
    memory = psutil.virtual_memory().total / 2**30
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    instructions = torch.backends.cpu.get_cpu_capability()
    return (
        f"{platform.machine()} ({instructions}), {os.cpu_count()} cores, {memory:.0f} GiB, {gpu}; "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )
