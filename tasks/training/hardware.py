"""The hardware class: machines of one class give the same bits."""

import platform
import subprocess
from pathlib import Path

import torch

from tasks.errors import ConfigError

CPU_INFO = Path("/proc/cpuinfo")
VENDOR_KEYS = ("vendor_id", "CPU implementer")  # of x86 and of ARM
FLAG_KEYS = ("flags", "Features")
CHOOSES_KERNELS = ("sse4", "avx", "fma", "f16c", "amx", "asimd", "sve", "sme", "bf16", "i8mm")


def choose_device(wanted: str) -> torch.device:
    """Return the device for `auto`, `cpu` or `cuda`.

    Raises:
        ConfigError: cuda is wanted and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("training.device = 'cuda', but torch sees no GPU: set it to 'auto' or 'cpu'")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def hardware_class(device: torch.device, threads: int) -> dict[str, str]:
    """Return what of the hardware the bits depend on: instruction set and threads, and the GPU with its driver.

    The CPU counts beside a GPU too: the first weights are drawn and computed there.
    """
    cpu = {
        "machine": platform.machine(),
        "vendor": cpu_fact(VENDOR_KEYS) or "unknown",  # matrix products choose their kernels by it
        "instructions": instruction_set(),
        "threads": str(threads),
    }
    if device.type == "cuda":
        return {"device": "cuda", "gpu": torch.cuda.get_device_name(device), "driver": driver_version(), **cpu}
    return {"device": "cpu", **cpu}


def instruction_set() -> str:
    """Return torch's name for the instruction set, and the flags by which its libraries choose kernels."""
    flags = sorted(flag for flag in cpu_fact(FLAG_KEYS).split() if flag.startswith(CHOOSES_KERNELS))
    return " ".join([torch.backends.cpu.get_cpu_capability(), *flags])


def cpu_fact(names: tuple[str, ...]) -> str:
    """Return the first processor's value under one of `names`, or nothing where the system does not say."""
    if not CPU_INFO.exists():
        return ""
    for line in CPU_INFO.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""


def driver_version() -> str:
    """Return the version of the GPU driver, as nvidia-smi says it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        return f"unknown ({type(error).__name__})"
    return done.stdout.splitlines()[0].strip()
