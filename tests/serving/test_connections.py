"""Clients that are slow, greedy, silent or gone: each is let go in its time, and the others are answered meanwhile."""

import contextlib
import ctypes
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.connections import MOST_HEAD_BYTES, MOST_HEADERS, MOST_PIPELINED
from serving.listeners import Address
from tests.serving.processes import DEADLINE_S, PNG, Server, run_server, until
from tests.serving.raw import POST, READY, ask, ask_ready, drip, read_all, read_answer, read_ready

SO_ATTACH_FILTER = 26  # of Linux


@pytest.fixture(scope="module")
def server(tiny_bundle: Path) -> Iterator[Server]:
    """A server that waits for nobody longer than it must."""
    with run_server(tiny_bundle, "--receive-s", "1", "--idle-s", "2") as running:
        until(running.is_ready)
        yield running


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [(b"POST /pre", b"x"), (b"POST /predict HTTP/1.1\r\nhost: x\r\n", b"a: b\r\n"), (READY + b"GET /", b"x")],
    ids=["the address", "header after header", "after an answer"],
)
def test_a_head_that_does_not_end_is_refused_in_time(server, beginning, drop):
    with server.connect() as connection:
        connection.sendall(beginning)
        if beginning.startswith(READY):
            read_ready(connection)
        with drip(connection, drop):
            assert ask(server) == 200
            code, error = read_answer(connection)
    assert (code, error["error"]) == (408, "the request's head did not come within 1 s, the limit")
    assert error["request_id"]


def test_a_body_that_does_not_end_is_refused_in_time(server):
    with server.connect() as connection:
        connection.sendall(POST % 1_000_000)
        with drip(connection, b"x"):
            assert ask(server) == 200
            code, error = read_answer(connection)
    assert (code, error["error"]) == (408, "the body did not come within 1 s, the limit")


def test_a_body_that_goes_on_after_its_answer_ends_the_connection(server):
    with server.connect() as connection:
        connection.sendall(POST % 1_000_000_000)
        with drip(connection, b"x" * 1000):
            received = read_all(connection)
    assert received.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("is_first", [True, False], ids=["before its first request", "after an answer"])
@pytest.mark.parametrize("drop", [b"", b"\r\n"], ids=["silent", "empty lines"])
def test_an_idle_connection_is_closed_in_time(server, is_first, drop):
    with server.connect() as connection:
        if not is_first:
            ask_ready(connection)
        with drip(connection, drop) if drop else contextlib.nullcontext():
            assert ask(server) == 200
            assert read_all(connection) == b""


def test_who_asks_now_and_then_is_not_idle(server):
    with server.connect() as connection, server.connect() as idle:
        idle.settimeout(0.1)
        while True:
            ask_ready(connection)
            with contextlib.suppress(TimeoutError):
                assert idle.recv(1) == b""
                break
        ask_ready(connection)


def drop_all(connection: socket.socket) -> None:
    """Let nothing reach this end any more, not even what the system would answer: to the other side it is gone."""
    program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # "return 0": of each packet keep nothing
    connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program)))


def send_nothing_more(connection: socket.socket) -> None:
    ask_ready(connection)


def send_half_a_body(connection: socket.socket) -> None:
    connection.sendall(POST % len(PNG) + PNG[:50])


def send_and_never_read(connection: socket.socket) -> None:
    """Ask for some 8 MB of answers, more than the system holds back for a connection."""
    head = b"POST /predict?top_k=7 HTTP/1.1\r\nhost: x\r\nx-image-shape: 1000,2,2,1\r\n"
    head += b"content-type: application/octet-stream\r\ncontent-length: 4000\r\n\r\n"
    connection.sendall((head + bytes(4000)) * MOST_PIPELINED)


@pytest.mark.parametrize("behave", [send_nothing_more, send_half_a_body, send_and_never_read])
@pytest.mark.parametrize("is_gone", [False, pytest.param(True, marks=pytest.mark.skipif(
    sys.platform != "linux", reason="a connection is cut with a packet filter of Linux"))])  # fmt: skip
def test_clients_that_hang_or_are_gone_are_forgotten(server, behave, is_gone):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(DEADLINE_S)
        connection.connect(("127.0.0.1", server.port))
        behave(connection)
        if is_gone:
            drop_all(connection)
        assert ask(server) == 200
        port = connection.getsockname()[1]
        until(lambda: port not in server.connections())
    until(lambda: server.metric("evergreen_requests_in_flight") == 1)  # that question


def test_the_system_looks_for_peers_that_are_gone():
    address = Address("127.0.0.1", 0)
    with address.take() as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            if sys.platform == "linux":
                options = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
                values = [accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in options]
                assert values == [30, 10, 3, 60_000]
    address.close()


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (b"GET /" + b"x" * MOST_HEAD_BYTES + b" HTTP/1.1\r\n\r\n", 431, "head has more than 65536 bytes"),
        (b"GET / HTTP/1.1\r\na: " + b"x" * MOST_HEAD_BYTES + b"\r\n\r\n", 431, "head has more than 65536 bytes"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MOST_HEADERS + 1) + b"\r\n", 431, "more than 100 headers"),
        (b"hello\r\n\r\n", 400, "Invalid HTTP request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "Invalid HTTP request"),
    ],
    ids=["a long address", "a long header", "many headers", "no request", "TLS"],
)
def test_what_is_no_request_or_too_long_a_head_is_refused_in_the_usual_form(server, request_, code, message):
    with server.connect() as connection:
        connection.sendall(request_)
        found, error = read_answer(connection)
    assert found == code
    assert message in error["error"]
    assert error["request_id"]


def test_requests_sent_ahead_are_answered_in_order_up_to_a_number(server):
    with server.connect() as connection:
        connection.sendall(READY * (MOST_PIPELINED - 1) + READY.replace(b"host: x", b"connection: close"))
        assert read_all(connection).count(b"HTTP/1.1 200 OK") == MOST_PIPELINED
    with server.connect() as connection:
        with contextlib.suppress(OSError):
            connection.sendall(READY * 10_000)
        assert read_all(connection).count(b"HTTP/1.1 200 OK") < MOST_PIPELINED + 1
    assert ask(server) == 200
