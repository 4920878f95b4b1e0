"""The recorded lock, installed by a set-up of the checkout's own: here a small script."""

from pathlib import Path

import pytest

from tasks.reproduction.environment import NotInstalledError, install_lock

INSTALLS = 'mkdir -p .venv/bin\nprintf "%s" "$PYTHON" > .venv/bin/python\n'


def checkout(folder: Path, script: str | None) -> Path:
    """A checkout whose set-up is `script`."""
    (folder / "deploy").mkdir()
    if script is not None:
        path = folder / "deploy" / "set-up.sh"
        path.write_text(f"#!/bin/sh\nset -eu\n{script}")
        path.chmod(0o755)
    return folder


def test_the_interpreter_of_the_recorded_version_is_preferred(tmp_path):
    python = install_lock(checkout(tmp_path, INSTALLS), "3.12.4")
    assert python == tmp_path / ".venv/bin/python"
    first, second = python.read_text().split()
    assert first == "python3.12"
    assert Path(second).is_file()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo resolving\necho 'error: no network' >&2\nexit 2\n", "set-up.sh ended with code 2: error: no network"),
        ("exit 3\n", "ended with code 3: it said nothing"),
        ("true\n", "ended with code 0"),
        (f"{INSTALLS}echo half\nexit 4\n", "ended with code 4: half"),
        (None, "No such file"),
    ],
    ids=["says why", "says nothing", "makes nothing", "makes half", "is not there"],
)
def test_a_set_up_that_fails_says_why(tmp_path, script, reason):
    with pytest.raises(NotInstalledError, match=reason):
        install_lock(checkout(tmp_path, script), "3.11.7")
