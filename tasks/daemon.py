"""A process that outlives whoever started it: started in a session of its own, found again by its record.

A record is `<folder>/<name>.json`. A process counts as alive only when its pid and its start time are those
of the record, so that a reused pid is never taken for it, nor stopped.
"""

import contextlib
import dataclasses
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from serving.bundle.durable import read_json, write_json
from tasks.errors import StackError
from tasks.process_identity import find_process, is_pid_reused


@dataclass(frozen=True)
class Daemon:
    """A started process; `started_at` is its start in seconds since the epoch, `log` holds its output.

    `key` is what its starter gave it: one with another key was started otherwise than one would start it now.
    """

    name: str
    pid: int
    started_at: float
    log: str
    key: str = ""

    def process(self) -> psutil.Process | None:
        """Return the process, None when it has ended."""
        return find_process(self.pid, self.started_at)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process() is not None

    def session(self) -> list[psutil.Process]:
        """Return the process, if it runs, and what runs of its session: also what a killed one left behind."""
        if is_pid_reused(self.pid, self.started_at):  # which happens only when its session is empty
            return []
        return [process for process in psutil.process_iter() if is_in_session(process, self.pid)]

    def last_lines(self, count: int = 5) -> str:
        """Return the end of its log."""
        try:
            return "\n".join(Path(self.log).read_text(errors="replace").splitlines()[-count:])
        except FileNotFoundError:
            return ""


def start(
    name: str, command: Sequence[str], *, folder: Path, environment: Mapping[str, str], cwd: Path, key: str = ""
) -> Daemon:
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
    daemon = Daemon(name, child.pid, psutil.Process(child.pid).create_time(), str(log), key)
    write_json(folder / f"{name}.json", dataclasses.asdict(daemon))
    return daemon


def find(folder: Path, name: str) -> Daemon | None:
    """Return the recorded process `name`, alive or not; None where there is no record.

    Raises:
        StackError: the record is damaged.
    """
    record = folder / f"{name}.json"
    try:
        values = read_json(record)
        return Daemon(**values) if values is not None else None
    except (ValueError, TypeError) as error:
        raise StackError(f"{record} is damaged ({error}): end {name!r} by hand if it runs, and remove it") from error


def stop(daemon: Daemon, *, folder: Path, grace_s: float) -> None:
    """End the process and its session: SIGTERM, SIGKILL after `grace_s`; then remove its record.

    What it started in a session of its own, to outlive it, goes on.
    """
    session, process = daemon.session(), daemon.process()
    for member in session if process is None else [process]:  # the first of a session ends the others
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself, just now
            member.terminate()
    _, left = psutil.wait_procs(session, timeout=grace_s)
    for member in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(left, timeout=grace_s)
    (folder / f"{daemon.name}.json").unlink(missing_ok=True)


def is_in_session(process: psutil.Process, session: int) -> bool:
    """Whether a process runs and belongs to the session that the process with the pid `session` leads, or led."""
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
