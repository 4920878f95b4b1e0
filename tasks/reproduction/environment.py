"""The dependencies of a version, installed for one reproduction into its checkout."""

import os
import subprocess
import sys
from pathlib import Path

SET_UP = Path("deploy") / "set-up.sh"
PYTHON = Path(".venv") / "bin" / "python"
TIMEOUT_S = 3600  # the lock for GPUs is several gigabytes


class NotInstalledError(Exception):
    """The recorded lock could not be installed here; the message says why."""


def install_lock(code: Path, python_version: str) -> Path:
    """Run the checkout's own set-up, which makes its .venv, and return the interpreter in it.

    An interpreter of the recorded minor version is taken where there is one, else the one that runs this.

    Raises:
        NotInstalledError: the set-up failed, with what it said last.
    """
    minor = ".".join(python_version.split(".")[:2])
    wanted = f"python{minor} {Path(sys.base_prefix) / 'bin' / 'python3'}"
    try:
        done = subprocess.run(
            [str(code / SET_UP)],
            cwd=code,
            env={**os.environ, "PYTHON": wanted},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalledError(str(error)) from error
    if done.returncode or not (code / PYTHON).is_file():
        said = done.stdout.strip().splitlines() or ["it said nothing"]
        raise NotInstalledError(f"{SET_UP} ended with code {done.returncode}: {said[-1]}")
    return code / PYTHON
