"""The launcher: a fresh process for each training, with the determinism contract's variables set before it starts."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.errors import ConfigError, DataError, EvergreenError, TrainingError
from tasks.training.environment import sealed_environment
from tasks.training.result import SPEC, TrainedModel, read_result
from tasks.training.spec import TrainingSpec

REASONS: dict[int, type[EvergreenError]] = {kind.exit_code: kind for kind in (ConfigError, DataError, TrainingError)}


def train(spec: TrainingSpec, out: Path, on_event: Callable[[dict[str, Any]], None]) -> TrainedModel:
    """Train `spec` in a process of its own into `out`, handing on each of its events, and return the result.

    What an earlier, unfinished training left in `out` is removed; what libraries print goes to stdout.txt and
    stderr.txt there.

    Raises:
        ConfigError, DataError, TrainingError: as the process said; TrainingError when it was killed.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    spec_file = out / SPEC
    spec_file.write_text(spec.to_json())
    command = [sys.executable, "-m", "tasks.training", str(spec_file), str(out)]
    with (out / "stderr.txt").open("w+") as stderr, (out / "stdout.txt").open("w") as chatter:
        with subprocess.Popen(
            command, env=launch_environment(spec.threads), stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process:
            try:
                for line in process.stdout or ():
                    event = parse_event(line)
                    if event is None:
                        chatter.write(line)
                    else:
                        on_event(event)
            except BaseException:
                process.terminate()
                raise
        stderr.seek(0)
        said = stderr.read().strip()
    if process.returncode:
        raise failure(process.returncode, said, out)
    return read_result(out)


def launch_environment(threads: int) -> dict[str, str]:
    """Return the process's variables: this one's but those that change the bits, with the contract's over them."""
    root = str(Path(__file__).parents[2])  # so that the package is found from any folder
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {**sealed_environment(os.environ, threads), "PYTHONPATH": path}


def parse_event(line: str) -> dict[str, Any] | None:
    """Return the event of a line of the process's output; None where a library wrote the line."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def failure(code: int, said: str, out: Path) -> EvergreenError:
    """Return the error for a training that ended with `code` after saying `said` on stderr."""
    if code < 0:
        name = signal.Signals(-code).name
        advice = "for want of memory, if nobody did it: see `dmesg`" if name == "SIGKILL" else f"see {out}/stderr.txt"
        return TrainingError(f"training was killed by {name} ({advice}); start the run again")
    last = said.splitlines()[-1] if said else "it said nothing"
    return REASONS.get(code, TrainingError)(f"{last} (training ended with code {code}; all it said: {out}/stderr.txt)")
