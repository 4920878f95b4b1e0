"""Servers as processes of this machine: detached, recorded, found again after the controller's own end."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from tasks.process_identity import find_process
from tasks.rollout.instances import Instance, InstanceRecords, ServerSpec

Command = Callable[[ServerSpec], Sequence[str]]

KEPT_LOGS = 30
_LOOPBACK = "127.0.0.1"
_PROJECT = Path(__file__).resolve().parents[3]  # where `python -m serving` finds the package
_STOP_POLL_S = 0.05
_KILL_GRACE_S = 2.0  # beyond the drain time, for the server to notice and to end by itself

# The server waits for a line that comes once its record is written: one that is not recorded ends at once.
_WAIT_THEN_RUN = 'read -r _ && exec "$@" </dev/null'


def serving_command(spec: ServerSpec) -> list[str]:
    """Return the command of a server that takes a free port of its own choice."""
    return [
        sys.executable,
        *("-m", "serving"),
        *("--bundle", str(spec.bundle)),
        *("--host", _LOOPBACK),
        *("--port", "0"),
        *("--model-name", spec.model_name),
        *("--model-version", str(spec.version)),
        *("--workers", "1"),
        *("--threads", str(spec.threads)),
        *("--max-batch", str(spec.max_batch)),
        *("--max-body-bytes", str(spec.max_body_bytes)),
        *("--drain-s", str(spec.drain_s)),
    ]


class ProcessEngine:
    """Starts and stops servers; records and logs are in `folder`, which only one controller uses at a time."""

    def __init__(self, folder: Path, *, command: Command = serving_command) -> None:
        self.folder = folder
        self._records = InstanceRecords(folder)
        self._command = command
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, spec: ServerSpec) -> Instance:
        """Start a server and return at once: it is not ready, and `list` tells its port once it listens."""
        name = f"v{spec.version}-{uuid.uuid4().hex[:8]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._prune_logs()
        path = self.folder / f"{name}.log"
        with path.open("ab") as log:
            child = subprocess.Popen(
                ["/bin/sh", "-c", _WAIT_THEN_RUN, "sh", *self._command(spec)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=_PROJECT,
                start_new_session=True,
            )
        self._children[child.pid] = child
        started_s = psutil.Process(child.pid).create_time()
        instance = Instance(name, spec.version, spec.digest, child.pid, started_s, time.time(), str(path))
        self._records.write(instance)
        if child.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it ended already, as `list` will tell
                child.stdin.write(b"\n")
                child.stdin.close()
        return self._records.write(dataclasses.replace(instance, has_begun=True))

    def list(self) -> tuple[Instance, ...]:
        """Return every recorded server, oldest first: also those that an earlier controller started, or that ended."""
        return tuple(self._with_port(instance) for instance in self._records.read_all())

    def is_alive(self, instance: Instance) -> bool:
        """Whether the server's process runs."""
        return self._process(instance) is not None

    def stop(self, instance: Instance, drain_s: float) -> bool:
        """Ask a server to finish, and kill it once `drain_s` have passed; True when it is gone and forgotten.

        Returns at once: call it until it says True. Only the process that was started is ever signalled.
        """
        process = self._process(instance)
        if process is None:
            self._records.remove(instance)
            return True
        if instance.stopping_since_s is None:
            self._records.write(dataclasses.replace(instance, stopping_since_s=time.time()))
            _signal(process, signal.SIGTERM)
        elif time.time() - instance.stopping_since_s > drain_s + _KILL_GRACE_S:
            _signal(process, signal.SIGKILL)
        return False

    def _with_port(self, instance: Instance) -> Instance:
        """Return an instance with its port, recorded as soon as the server listens."""
        process = self._process(instance)
        if instance.port or process is None:
            return instance
        with contextlib.suppress(psutil.Error):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    return self._records.write(dataclasses.replace(instance, port=connection.laddr.port))
        return instance

    def _process(self, instance: Instance) -> psutil.Process | None:
        """Return the process of an instance; None where it ended or its pid is another process's by now."""
        child = self._children.get(instance.pid)
        if child is not None and child.poll() is not None:
            del self._children[instance.pid]
        return find_process(instance.pid, instance.pid_started_s)

    def _prune_logs(self) -> None:
        """Delete the oldest logs of servers that ended, so that they do not fill the disk."""
        recorded = {Path(instance.log) for instance in self._records.read_all()}
        logs = sorted(set(self.folder.glob("*.log")) - recorded, key=lambda path: path.stat().st_mtime)
        for path in logs[:-KEPT_LOGS]:
            path.unlink(missing_ok=True)


def instance_folder(home: Path) -> Path:
    """Return where records and logs of the servers are."""
    return home / "instances"


def stop_all_instances(home: Path, *, drain_s: float) -> int:
    """Stop every server of `home` and return how many there were: what `evergreen down` does, the controller first."""
    engine = ProcessEngine(instance_folder(home))
    count = len(engine.list())
    while remaining := engine.list():
        for instance in remaining:
            engine.stop(instance, drain_s)
        time.sleep(_STOP_POLL_S)
    return count


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    """Signal a process and what it started; it may be gone already."""
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        if number is signal.SIGKILL and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
