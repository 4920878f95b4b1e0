"""Requests by hand, byte by byte, for clients that do not behave."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import httpx

from tests.serving.processes import DEADLINE_S, PNG, PNG_HEADERS, Server

READY = b"GET /v2/health/ready HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: %d\r\n\r\n"


def ask(server: Server) -> int:
    return httpx.post(f"{server.url}/predict", content=PNG, headers=PNG_HEADERS, timeout=DEADLINE_S).status_code


def ask_ready(connection: socket.socket) -> None:
    connection.sendall(READY)
    read_ready(connection)


def read_ready(connection: socket.socket) -> None:
    received = b""
    while not received.endswith(b"}"):
        part = connection.recv(65536)
        assert part, received
        received += part
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")


def read_all(connection: socket.socket) -> bytes:
    """Return everything up to the end of a connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received += part
    return received


def read_answer(connection: socket.socket) -> tuple[int, dict]:
    """Return the code and body of the only answer before a connection's end."""
    head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)


@contextlib.contextmanager
def drip(connection: socket.socket, drop: bytes) -> Iterator[None]:
    """Send a drop again and again until the other side has enough."""
    stop = threading.Event()

    def send() -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(0.05):
                connection.sendall(drop)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(DEADLINE_S)
