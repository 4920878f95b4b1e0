"""The command line, run in a project of its own whose stack is down."""

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows import cli, terminal
from tasks.settings import Settings, load_settings
from tests.conftest import ROOT

PORTS = ("prefect_port", "mlflow_port", "router_port", "router_admin_port")


@dataclass(frozen=True)
class Said:
    """How a command ended: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The shipped settings with free ports, in the current folder."""
    (tmp_path / "evergreen.toml").write_text((ROOT / "evergreen.toml").read_text())
    probes = [socket.socket() for _ in PORTS]
    for name, probe in zip(PORTS, probes, strict=True):
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv(f"EVERGREEN_STACK__{name.upper()}", str(probe.getsockname()[1]))
    for probe in probes:
        probe.close()
    monkeypatch.chdir(tmp_path)
    return load_settings()


@pytest.fixture
def evergreen(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Run `evergreen` with these words, as a shell would."""
    monkeypatch.setattr(terminal.console, "_width", 500)

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["evergreen", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Said(ended.value.code, captured.out, captured.err)

    return run
