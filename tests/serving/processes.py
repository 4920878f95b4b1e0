"""Servers as processes, for tests: started, spoken to, stopped."""

import contextlib
import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.bundles import make_images
from tests.serving.files import encode

DEADLINE_S = 60  # for anything that a slow machine does within seconds
PNG = encode(make_images(1, seed=1)[0], "PNG")
PNG_HEADERS = {"content-type": "image/png"}


@dataclass(frozen=True)
class Server:
    """A running server and the lines that it logs."""

    process: subprocess.Popen[str]
    lines: "queue.Queue[dict]"
    url: str

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)

    def workers(self) -> list[psutil.Process]:
        """Return the processes that answer, in the order of their start."""
        process = psutil.Process(self.process.pid)
        return sorted(process.children(), key=lambda worker: worker.pid) or [process]

    def connections(self) -> dict[int, psutil.Process]:
        """Return who holds the server's end of each open connection, by the client's port."""
        return {
            connection.raddr.port: worker
            for worker in self.workers()
            for connection in worker.net_connections("tcp")
            if connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == self.port
        }

    def is_ready(self) -> bool:
        return httpx.get(f"{self.url}/v2/health/ready").status_code == 200

    def metric(self, name: str) -> float:
        """Return the value of one series, named as on the page; 0 where it is not there."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " ")), 0.0)


def wait_for(lines: "queue.Queue[dict]", message: str) -> dict:
    """Return the log line that says `message`."""
    seen = []
    while not seen or not str(seen[-1]["message"]).startswith(message):
        try:
            seen.append(lines.get(timeout=DEADLINE_S))
        except queue.Empty:
            pytest.fail(f"the server never said {message!r}, but {seen}")
    return seen[-1]


@contextlib.contextmanager
def run_server(bundle: Path, *arguments: str, before: Sequence[str] = ()) -> Iterator[Server]:
    """Run a server on a free port, by the command `before` if there is one; it listens, and may not be ready yet."""
    command = [*before, sys.executable, "-m", "serving", "--bundle", str(bundle), "--port", "0"]
    command += ["--model-name", "fashion", "--model-version", "12", "--workers", "1", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    lines: queue.Queue[dict] = queue.Queue()

    def read() -> None:
        for line in process.stdout:
            lines.put(json.loads(line))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield Server(process, lines, f"http://127.0.0.1:{wait_for(lines, 'listening')['port']}")
    finally:
        process.kill()
        process.wait(DEADLINE_S)
        reader.join(DEADLINE_S)
        process.stdout.close()


def begin_request(server: Server) -> tuple[socket.socket, Callable[[], httpx.Response]]:
    """Send a request without the end of its body; the function returned sends that and reads the answer."""
    connection = server.connect()
    head = f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: {len(PNG)}\r\n\r\n"
    connection.sendall(head.encode() + PNG[:100])

    def finish() -> httpx.Response:
        connection.sendall(PNG[100:])
        received = b""
        while part := connection.recv(65536):
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        return httpx.Response(int(head.split()[1]), content=body)

    return connection, finish


def until(is_so: Callable[[], bool]) -> None:
    """Ask again and again; the asking is the waiting."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be"


def in_flight(server: Server) -> float:
    return server.metric("evergreen_requests_in_flight")
