"""What one `evergreen run` costs: seconds by stage, and the peak of its memory.

    python -m benchmarks.pipeline [ARGUMENTS OF evergreen run]

Memory is the sum of PSS (each shared page counted once, split among those who share it) over the command, all
it starts, and the local stack with its servers, sampled every 0.5 s from /proc (Linux).
"""

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.machine import describe_machine
from benchmarks.memory import pss_bytes
from tasks.settings import load_settings

SAMPLE_S = 0.5
MIB = 2**20
NAMES = {  # part of a command line -> what the process is
    "evergreen run": "evergreen run",
    "tasks.training": "training",
    "tasks.rollout": "controller",
    "-m serving": "model servers",
    "mlflow": "MLflow",
    "prefect": "Prefect",
    "envoy": "router",
}


def main(arguments: list[str]) -> int:
    """Run the pipeline once, and print what it cost."""
    evergreen = Path(sys.executable).with_name("evergreen")
    started = time.monotonic()
    with subprocess.Popen([evergreen, "run", *arguments], stdout=subprocess.PIPE, text=True) as command:
        sampler = Sampler(command.pid, load_settings().home)
        sampler.start()
        lines = []
        for line in command.stdout or ():
            lines.append(line)
            print(line, end="", flush=True)
        code = command.wait()
        sampler.stop()
    print(f"\n{describe_machine()}")
    print(f"whole command: {time.monotonic() - started:.0f} s, exit code {code}")
    for line in lines:
        if stage := re.match(r"(stack|data|train|evaluate|register|release|check over HTTP): ([\d.]+) s", line):
            print(f"  {stage[1]:16} {float(stage[2]):7.1f} s")
    print(f"peak memory: {sampler.peak / MIB:.0f} MiB, of which")
    for name, size in sorted(sampler.at_peak.items(), key=lambda item: -item[1]):
        print(f"  {name:16} {size / MIB:7.0f} MiB")
    return code


class Sampler(threading.Thread):
    """Watches the sum of PSS over the run's processes; `at_peak` has its parts by name, in bytes."""

    def __init__(self, pid: int, home: Path) -> None:
        super().__init__(daemon=True)
        self.pid, self.home = pid, home
        self.peak, self.at_peak = 0, {}
        self._done = threading.Event()

    def run(self) -> None:
        """Sample until stopped."""
        while not self._done.wait(SAMPLE_S):
            sizes: dict[str, int] = {}
            for process in self.processes():
                if size := pss_bytes(process.pid):
                    name = name_of(process)
                    sizes[name] = sizes.get(name, 0) + size
            if sum(sizes.values()) > self.peak:
                self.peak, self.at_peak = sum(sizes.values()), sizes

    def stop(self) -> None:
        """End the sampling."""
        self._done.set()
        self.join()

    def processes(self) -> Iterator[psutil.Process]:
        """Yield the command, the services and the servers that are recorded, with all that they started."""
        records = [*self.home.glob("services/*.json"), *self.home.glob("instances/*.json")]
        for pid in {self.pid, *(json.loads(record.read_text())["pid"] for record in records)}:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                yield from (process, *process.children(recursive=True))


def name_of(process: psutil.Process) -> str:
    """Return what a process is, by its command."""
    try:
        command = " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return "ended"
    return next((name for part, name in NAMES.items() if part in command), process.name())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
