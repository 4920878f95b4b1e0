"""Runs a module of a version's code in a process of its own, and hands on what it reports."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.errors import ConfigError, DataError, EvergreenError, TrainingError, TrainingStopped

Event = dict[str, Any]
REASONS: dict[int, type[EvergreenError]] = {
    kind.exit_code: kind for kind in (ConfigError, DataError, TrainingError, TrainingStopped)
}
_TAIL = 15  # lines of a failure that a person sees


def run_module(
    module: str, arguments: list[str], *, python: Path, code: Path, out: Path, on_event: Callable[[Event], None]
) -> None:
    """Run `python -m module arguments` with the code in `code`; what it says on stderr is kept in `out`.

    Raises:
        ConfigError: the code has no such module.
        ConfigError, DataError, TrainingError: as the process ended, with the last that it said.
    """
    if not code.joinpath(*module.split(".")).with_suffix(".py").is_file():
        raise ConfigError(
            f"the version's code has no {module}: its commit is older than `evergreen reproduce`, so only a person can "
            "make it again; choose a newer version"
        )
    with (out / f"{module}.stderr.txt").open("w+") as stderr:
        process = subprocess.Popen(
            [str(python), "-m", module, *arguments],
            cwd=code,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(code), os.environ.get("PYTHONPATH")]))},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,  # so that it can be stopped with all that it started
        )
        with process:
            try:
                for line in process.stdout or ():
                    if (event := parse_event(line)) is not None:
                        on_event(event)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)  # what it has done so far is of no use to anybody
                raise
        stderr.seek(0)
        said = stderr.read().strip()
    if process.returncode:
        raise failure(module, process.returncode, said)


def parse_event(line: str) -> Event | None:
    """Return the event of a line of the process's output; None where a library wrote the line."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def failure(module: str, code: int, said: str) -> EvergreenError:
    """Return the error for a process that ended with `code` after saying `said` on stderr."""
    kind = REASONS.get(code)
    lines = said.splitlines() or ["it said nothing"]
    if kind is not None:
        return kind(lines[-1])
    ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return TrainingError(f"{module}, in the version's own code, {ended}:\n" + "\n".join(lines[-_TAIL:]))
