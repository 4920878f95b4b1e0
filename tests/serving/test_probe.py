"""Docker's health check: its exit code is the server's readiness, and it looks where health is."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import serving
from serving.probe import is_ready

PROBE = Path(serving.__file__).with_name("probe.py")


class Health(BaseHTTPRequestHandler):
    """Answers as a server in the state `status`."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/v2/health/ready" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.parametrize(("status", "expected"), [(200, True), (503, False)])
def test_it_says_what_the_server_says(port, monkeypatch, status, expected):
    monkeypatch.setattr(Health, "status", status)
    assert is_ready({"SERVING_PORT": str(port)}) is expected


def test_no_server_is_not_ready(closed_port):
    assert not is_ready({"SERVING_PORT": str(closed_port)})


def test_a_port_for_operators_is_asked_instead(port, closed_port):
    assert is_ready({"SERVING_PORT": str(closed_port), "SERVING_ADMIN_PORT": str(port)})
    assert is_ready({"SERVING_PORT": str(port), "SERVING_ADMIN_PORT": "0"})


def test_the_command_of_the_image_needs_no_packages(port, monkeypatch):
    def run() -> int:
        command = [sys.executable, "-I", "-S", str(PROBE)]
        return subprocess.run(command, env={"SERVING_PORT": str(port)}, check=False, capture_output=True).returncode

    assert run() == 0
    monkeypatch.setattr(Health, "status", 503)
    assert run() == 1
