"""Clients' connections: uvicorn's, with a bound on all that a client could drag out or pile up.

A head that does not end, a body that nobody reads any more, an answer that its client does not read, a connection
left idle, more of them than there may be: each is closed in its time, and costs the others nothing meanwhile. How
long a body may take that is being read is `serving.body`'s matter.
"""

import asyncio
import http
import json
import uuid
from dataclasses import dataclass
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from serving.joined_writes import join_writes
from serving.listeners import raise_file_limit

MOST_HEAD_BYTES = 65_536
MOST_HEADERS = 100
MOST_PIPELINED = 16  # requests of one connection that wait for the one before

_MOST_CONNECTIONS = 10_000  # of a worker; an idle one takes 6 KB
OTHER_FILES = 200  # that a worker may have open beside its connections
_PARTING_S = 1.0  # while draining: how long a client that was just answered may still send a request


@dataclass(frozen=True)
class Limits:
    """How long the connections of a worker may take, and how much there may be of them."""

    receive_s: float  # for a head; for the rest of a body after its answer; for an answer to be read
    idle_s: float
    most: int
    unread_bytes: int  # of answers that clients do not read, together


class Connection(HttpToolsProtocol):
    """One client's connection: waiting for a request, receiving it, or answering it."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], *, keeper: "Keeper"
    ) -> None:
        super().__init__(config, server_state, app_state, asyncio.get_running_loop())
        self.since = self.loop.time()  # when it began to wait or to receive
        self.is_receiving = False  # a request has begun and is not whole
        self._keeper = keeper
        self._is_in_head = False
        self._part_bytes = 0  # of what came last
        self._head_bytes = 0  # of a head that is not whole, from its second part on
        self._refusal: tuple[int, str] | None = None
        self.unread_since: float | None = None  # an answer has been waiting for its client to read

    @property
    def is_answering(self) -> bool:
        """Whether the application has a request of this connection, and with it the say over its time."""
        return bool(self.cycle and not self.cycle.response_complete)

    @property
    def unread_bytes(self) -> int:
        """How much of its answers waits here, beyond what the system holds, for the client to read."""
        return self.transport.get_write_buffer_size()

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is on its way, in or out."""
        is_busy = self.is_receiving or self.is_answering
        return not is_busy and not self.unread_bytes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to wait for a request; too many connections close the one that has waited longest."""
        super().connection_made(join_writes(transport, self.loop))
        self._keeper.add_idle(self)
        self._keeper.make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._keeper.remove_idle(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and bound a head that goes on and on."""
        self._part_bytes = len(data)
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self.refuse(431, f"the request's head has more than {MOST_HEAD_BYTES} bytes, the limit")

    def on_message_begin(self) -> None:
        """Begin to receive a request."""
        super().on_message_begin()
        self.since = self.loop.time()
        self.is_receiving = self._is_in_head = True
        self._head_bytes = -self._part_bytes  # the part that it begins in may be another request's for the most
        self._keeper.remove_idle(self)

    def on_headers_complete(self) -> None:
        """Hand a request on whose head is within the limits.

        Raises:
            ValueError: it is not; uvicorn asks for the answer to give.
        """
        self._is_in_head = False
        if len(self.headers) > MOST_HEADERS or len(self.pipeline) >= MOST_PIPELINED:
            self._refusal = 431, f"more than {MOST_HEADERS} headers, or {MOST_PIPELINED} requests sent ahead"
        elif len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MOST_HEAD_BYTES:
            self._refusal = 431, f"the request's head has more than {MOST_HEAD_BYTES} bytes, the limit"
        if self._refusal is not None:
            self.headers.clear()
            raise ValueError(self._refusal[1])
        super().on_headers_complete()
        if self._keeper.is_draining:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Note that a request is whole."""
        super().on_message_complete()
        self.is_receiving = False
        self.since = self.loop.time()
        self._wait_if_idle()

    def on_response_complete(self) -> None:
        """Note that an answer is given."""
        super().on_response_complete()
        self.since = self.loop.time()
        self._wait_if_idle()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or one over a limit; `msg` is uvicorn's."""
        self.refuse(*(self._refusal or (400, msg)))

    def refuse(self, status: int, message: str) -> None:
        """Answer in the server's error form, unless another answer is on its way, and close."""
        if not self.transport.is_closing() and not self.is_answering:
            body = json.dumps({"error": message, "request_id": uuid.uuid4().hex}).encode()
            head = f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode() + body)
        self.transport.close()

    def check(self, now: float) -> None:
        """Close the connection if its time is over."""
        limits = self._keeper.limits
        if not self.unread_bytes:
            self.unread_since = None
        elif self.unread_since is None:
            self.unread_since = now
        elif now - self.unread_since > limits.receive_s:
            self.transport.abort()  # not close, which would wait for the client to read
            return
        if self.is_answering or self.transport.is_closing():
            return
        waited_s = now - self.since
        if self._is_in_head and waited_s > limits.receive_s:
            self.refuse(408, f"the request's head did not come within {limits.receive_s:g} s, the limit")
        elif waited_s > (limits.receive_s if self.is_receiving else limits.idle_s):
            self.transport.close()

    def part(self) -> None:
        """Make the answer that is on its way the last one."""
        if self.is_answering:
            self.cycle.keep_alive = False

    def _wait_if_idle(self) -> None:
        if not self.is_receiving and not self.is_answering:
            self._keeper.add_idle(self)


class Keeper:
    """Keeps a worker's connections within their limits."""

    def __init__(self, limits: Limits, connections: "set[Any]") -> None:
        self.limits = limits
        self.is_draining = False
        self._connections = connections  # uvicorn's, all of class Connection
        self._idle: dict[Connection, None] = {}  # the longest first

    def add_idle(self, connection: Connection) -> None:
        """Take note of a connection that waits."""
        self._idle[connection] = None

    def make_room(self) -> None:
        """Close the connection that has waited longest, if there are more than there may be."""
        if len(self._connections) > self.limits.most:
            longest = next(iter(self._idle))
            del self._idle[longest]
            longest.transport.close()

    def remove_idle(self, connection: Connection) -> None:
        """Take note of a connection that waits no longer."""
        self._idle.pop(connection, None)

    def sweep(self, now: float) -> None:
        """Close the connections whose time is over; `now` is the event loop's time."""
        for connection in list(self._connections):
            connection.check(now)
        unread = [connection for connection in self._connections if connection.unread_since is not None]
        unread.sort(key=lambda connection: connection.unread_bytes)
        excess = sum(connection.unread_bytes for connection in unread) - self.limits.unread_bytes
        while excess > 0:
            excess -= unread[-1].unread_bytes
            unread.pop().transport.abort()

    def drain(self) -> None:
        """Answer each connection's next request at most."""
        self.is_draining = True
        for connection in list(self._connections):
            connection.part()

    def is_quiet(self, now: float) -> bool:
        """Whether nothing has come for a while and nothing is on its way: no request is lost if all is closed now."""
        return all(connection.is_at_rest and now - connection.since > _PARTING_S for connection in self._connections)


def most_connections() -> int:
    """Return how many connections a worker may hold, by its memory and its files."""
    return max(1, min(_MOST_CONNECTIONS, raise_file_limit() - OTHER_FILES))
