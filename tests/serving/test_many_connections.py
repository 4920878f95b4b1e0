"""More connections than a server needs, and clients with time: idle ones cost little, and there is a most of them."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from serving.connections import OTHER_FILES
from serving.listeners import raise_file_limit
from tests.serving.processes import Server, run_server, until
from tests.serving.raw import ask, ask_ready, drip, read_answer

MOST_BYTES_IDLE = 30_000  # of the process, for a connection


@pytest.fixture(scope="module")
def server(tiny_bundle: Path) -> Iterator[Server]:
    with run_server(tiny_bundle) as running:
        until(running.is_ready)
        yield running


@pytest.fixture
def open_idle() -> Iterator[Callable[[Server, int], list[socket.socket]]]:
    raise_file_limit()
    opened: list[socket.socket] = []

    def open_some(server: Server, count: int) -> list[socket.socket]:
        opened.extend(server.connect() for _ in range(count))
        return opened

    yield open_some
    for connection in opened:
        connection.close()


def test_a_thousand_idle_connections_cost_little_and_harm_nobody(server, open_idle):
    process = psutil.Process(server.process.pid)
    assert ask(server) == 200
    before = process.memory_info().rss
    connections = open_idle(server, 1000)
    until(lambda: len(server.connections()) == 1000)
    for connection in connections[:500]:  # half of them idle after a request
        ask_ready(connection)
    assert {ask(server) for _ in range(30)} == {200}
    assert len(server.connections()) == 1000
    assert process.memory_info().rss - before < 1000 * MOST_BYTES_IDLE
    for connection in connections:
        connection.close()
    until(lambda: not server.connections())
    assert ask(server) == 200


def test_beyond_the_most_the_longest_idle_connection_makes_room(tiny_bundle, open_idle):
    few_files = ("sh", "-c", f'ulimit -n {OTHER_FILES + 50}; exec "$@"', "sh")
    with run_server(tiny_bundle, before=few_files) as server:
        until(server.is_ready)
        connections = open_idle(server, 80)
        for connection in connections[:30]:
            assert connection.recv(1) == b""
        for connection in connections[30:]:
            ask_ready(connection)
        assert ask(server) == 200
        assert connections[30].recv(1) == b""


def test_a_head_that_comes_in_parts_is_refused_when_it_is_too_long(server):
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\na: ")
        with drip(connection, b"x" * 20_000):
            code, error = read_answer(connection)
    assert (code, error["error"]) == (431, "the request's head has more than 65536 bytes, the limit")
