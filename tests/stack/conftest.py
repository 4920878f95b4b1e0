"""A project of its own, with tiny real services on free ports."""

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.settings import Settings, load_settings
from tasks.stack.services import Service, answers
from tasks.stack.supervisor import stop_services
from tests.conftest import ROOT

Report = Callable[[str, str], None]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The shipped settings, in a folder of their own."""
    path = tmp_path / "evergreen.toml"
    path.write_text((ROOT / "evergreen.toml").read_text())
    return load_settings(path)


@pytest.fixture
def make_service(settings: Settings) -> Iterator[Callable[..., Service]]:
    """Make a service that serves files on a free port; stop what was made in the end."""
    made = []

    def make(name: str, *, port: int | None = None, **changes: object) -> Service:
        port = port or free_port()
        command = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1")
        service = Service(
            name=name,
            command=changes.pop("command", command),
            is_healthy=changes.pop("is_healthy", lambda: answers(f"http://127.0.0.1:{port}")),
            address=f"http://127.0.0.1:{port}",
            ports={port: "stack.router_port"},
            grace_s=5.0,
            **changes,
        )
        made.append(service)
        return service

    yield make
    stop_services(settings, made, lambda name, event: None)


@pytest.fixture
def reports() -> list[tuple[str, str]]:
    """What was reported: a service's name and what happened to it."""
    return []


@pytest.fixture
def report(reports: list[tuple[str, str]]) -> Report:
    """A listener that keeps what it hears."""
    return lambda name, event: reports.append((name, event))
