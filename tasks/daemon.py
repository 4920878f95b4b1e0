"""A process that outlives whoever started it: started in a session of its own, found again by its record.

A record is `<folder>/<name>.json`. A process counts as alive only when its pid and its start time are those
of the record, so that a reused pid is never taken for it, nor stopped.
"""

import dataclasses
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

START_TOLERANCE_S = 2.0  # start times are told to 10 ms, and move when the clock is set


def find_process(pid: int, started_at: float) -> psutil.Process | None:
    """Return the process with this pid and start time (seconds since the epoch), None when it has ended."""
    try:
        process = psutil.Process(pid)
        is_same = abs(process.create_time() - started_at) < START_TOLERANCE_S
        return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


@dataclass(frozen=True)
class Daemon:
    """A started process; `started_at` is its start in seconds since the epoch, `log` holds its output."""

    name: str
    pid: int
    started_at: float
    log: str

    def process(self) -> psutil.Process | None:
        """Return the process, None when it has ended."""
        return find_process(self.pid, self.started_at)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process() is not None

    def last_lines(self, count: int = 5) -> str:
        """Return the end of its log."""
        try:
            return "\n".join(Path(self.log).read_text(errors="replace").splitlines()[-count:])
        except FileNotFoundError:
            return ""


def start(name: str, command: Sequence[str], *, folder: Path, environment: Mapping[str, str], cwd: Path) -> Daemon:
    """Start `command` in the background, its output appended to `<folder>/<name>.log`, and write its record."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    daemon = Daemon(name, child.pid, psutil.Process(child.pid).create_time(), str(log))
    record = folder / f"{name}.json"
    draft = record.with_suffix(".draft")
    draft.write_text(json.dumps(dataclasses.asdict(daemon)))
    draft.replace(record)
    return daemon


def find(folder: Path, name: str) -> Daemon | None:
    """Return the recorded process `name`, alive or not; None where there is no record."""
    try:
        return Daemon(**json.loads((folder / f"{name}.json").read_text()))
    except FileNotFoundError:
        return None


def stop(daemon: Daemon, *, folder: Path, grace_s: float) -> None:
    """End the process and its children: SIGTERM, SIGKILL after `grace_s`; then remove its record."""
    process = daemon.process()
    if process is not None:
        family = [process, *process.children(recursive=True)]
        process.terminate()
        _, left = psutil.wait_procs(family, timeout=grace_s)
        for member in left:
            member.kill()
        psutil.wait_procs(left, timeout=grace_s)
    (folder / f"{daemon.name}.json").unlink(missing_ok=True)
