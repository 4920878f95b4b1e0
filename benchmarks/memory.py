"""The memory of processes, as the kernel accounts for it (Linux), and of GPUs, as their driver does."""

import contextlib
import re
import shutil
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

QUERY = ("nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits")
MIB = 2**20
SAMPLE_S = 1.0  # the kernel adds up a process's pages for milliseconds: rarely enough not to slow it


class MemoryWatch(threading.Thread):
    """While entered, notes the peak of the summed memory of a process and its descendants in `peak_bytes`.

    `gpu_bytes` is how far the GPUs' used memory rose meanwhile, the driver's own for a process included; so nothing
    else may begin to use them.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak_bytes, self.gpu_bytes = pid, 0, 0
        self.has_gpus = shutil.which(QUERY[0]) is not None
        self.used_before = used_gpu_bytes() if self.has_gpus else 0
        self._done = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self.join()

    def run(self) -> None:
        """Sample until left."""
        while not self._done.wait(SAMPLE_S):
            self.peak_bytes = max(self.peak_bytes, sum(pss_bytes(each.pid) for each in family(self.pid)))
            if self.has_gpus:
                self.gpu_bytes = max(self.gpu_bytes, used_gpu_bytes() - self.used_before)


def family(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants; none once it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def pss_bytes(pid: int) -> int:
    """Return a process's proportional set size, each page split among those who share it; 0 once it has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def used_gpu_bytes() -> int:
    """Return the used memory of all GPUs."""
    done = subprocess.run(QUERY, capture_output=True, text=True, check=True)
    return sum(int(line) for line in done.stdout.split()) * MIB
