"""An HTTP/1.1 connection that asks the same again and again: as little work for an answer as Python can."""

import asyncio
from collections.abc import Callable
from typing import Any

import httptools

from benchmarks.served.subjects import Asked

Answered = Callable[["Connection", int], None]  # the connection, free again, and the code; 0 is a broken connection


def to_bytes(asked: Asked, *, port: int) -> bytes:
    """Return a request as it goes over the wire."""
    lines = [f"POST {asked.path} HTTP/1.1", f"host: 127.0.0.1:{port}", f"content-length: {len(asked.body)}"]
    lines += [f"{name}: {value}" for name, value in asked.headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + asked.body


class Connection(asyncio.Protocol):
    """One connection: a request at a time; `answered` is called at the end of each answer, or of the connection."""

    def __init__(self, answered: Answered) -> None:
        self.mark: Any = None  # the caller's, of the request that is out
        self.is_open = False
        self._answered = answered
        self._is_out = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready to send."""
        self._transport: Any = transport
        self._parser = httptools.HttpResponseParser(self)
        self.is_open = True

    def send(self, request: bytes) -> None:
        """Send a request; none may be out."""
        self._is_out = True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Read a part of an answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_message_complete(self) -> None:
        """Tell of an answer; called by the parser."""
        code, is_last = self._parser.get_status_code(), not self._parser.should_keep_alive()
        self._parser = httptools.HttpResponseParser(self)
        if is_last:
            self.is_open = False
            self._transport.close()
        self._end(code)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Tell of a request that will get no answer."""
        self.is_open = False
        self._end(0)

    def close(self) -> None:
        """Leave, and hear of nothing any more."""
        self._is_out = False
        self._transport.abort()

    def _end(self, code: int) -> None:
        if self._is_out:
            self._is_out = False
            self._answered(self, code)


async def connect(port: int, answered: Answered) -> Connection:
    """Return an open connection to this machine.

    Raises:
        OSError: nobody listens there.
    """
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(answered), "127.0.0.1", port)
    return connection
