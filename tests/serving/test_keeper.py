"""Which connections go, and when all may, without clients."""

import asyncio
from dataclasses import dataclass, field

import pytest
import uvicorn
from uvicorn.server import ServerState

from serving.connections import MOST_HEAD_BYTES, Connection, Keeper, Limits
from tests.serving.raw import POST, READY


@dataclass(eq=False)
class Client:
    """A connection as its keeper sees it, and its own transport."""

    since: float = 0.0
    unread_bytes: int = 0
    unread_since: float | None = 0.0
    is_at_rest: bool = True
    is_gone: bool = False

    @property
    def transport(self) -> "Client":
        return self

    def check(self, now: float) -> None:
        pass

    def part(self) -> None:
        pass

    def abort(self) -> None:
        self.is_gone = True

    close = abort


def keep(*clients: Client, most: int = 10, unread_bytes: int = 100) -> Keeper:
    return Keeper(Limits(receive_s=1, idle_s=1, most=most, unread_bytes=unread_bytes), set(clients))


@pytest.mark.parametrize(
    ("limit", "left"), [(130, [0, 30, 50, 10, 40]), (129, [0, 30, 10, 40]), (75, [0, 30, 10]), (5, [0])]
)
def test_of_answers_that_nobody_reads_the_largest_go_until_the_others_have_room(limit, left):
    clients = [Client(unread_bytes=size) for size in (0, 30, 50, 10, 40)]
    keep(*clients, unread_bytes=limit).sweep(now=0.0)
    assert [client.unread_bytes for client in clients if not client.is_gone] == left


@pytest.mark.parametrize(
    ("since", "is_at_rest", "is_quiet"),
    [(8.9, True, True), (9.1, True, False), (8.9, False, False)],
    ids=["answered a while ago", "answered just now, and may ask again", "its request is on its way"],
)
def test_a_draining_server_waits_for_clients_that_were_just_answered(since, is_at_rest, is_quiet):
    assert keep(Client(since=0.0), Client(since=since, is_at_rest=is_at_rest)).is_quiet(now=10.0) is is_quiet
    assert keep().is_quiet(now=10.0)


def test_the_longest_idle_makes_room_and_busy_ones_stay():
    busy, first, second, third = clients = [Client() for _ in range(4)]
    keeper = keep(*clients, most=3)
    for client in clients:
        keeper.add_idle(client)
    keeper.remove_idle(busy)
    keeper.remove_idle(first)
    keeper.add_idle(first)  # asked in between: now the second has waited longest
    keeper.make_room()
    assert [client.is_gone for client in (busy, first, second, third)] == [False, False, True, False]


@dataclass
class Transport:
    """What a connection writes to."""

    sent: bytes = b""
    is_closed: bool = False
    options: dict[str, object] = field(default_factory=dict)

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, name: str) -> object:
        return self.options.get(name)

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


def test_a_long_body_and_the_next_head_may_come_in_one_part():
    async def answer(scope, receive, send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def go() -> Transport:
        config = uvicorn.Config(answer, http=Connection, lifespan="off", log_config=None)
        config.load()
        transport = Transport()
        connection = Connection(config, ServerState(), {}, keeper=keep())
        connection.connection_made(transport)
        connection.data_received(POST % (2 * MOST_HEAD_BYTES))
        connection.data_received(bytes(2 * MOST_HEAD_BYTES) + READY[:20])
        connection.data_received(READY[20:])
        while transport.sent.count(b"HTTP/1.1 204") < 2 and not transport.is_closed:
            await asyncio.sleep(0)
        connection.connection_lost(None)
        return transport

    assert asyncio.run(go()).sent.count(b"HTTP/1.1 204") == 2
