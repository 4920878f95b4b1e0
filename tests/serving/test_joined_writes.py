"""What is written at once is sent at once, and nothing waits longer than a turn of the event loop."""

import asyncio

from serving.joined_writes import JoinedWrites


class Transport:
    def __init__(self) -> None:
        self.sent: list[bytes | str] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.sent.append(data)

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


def run(act) -> list[bytes]:
    transport = Transport()

    async def go() -> None:
        await act(JoinedWrites(transport, asyncio.get_running_loop()))

    asyncio.run(go())
    return transport.sent


def test_two_writes_of_one_turn_are_one():
    async def act(joined):
        joined.write(b"head ")
        joined.write(b"body")

    assert run(act) == [b"head body"]


def test_each_turn_is_sent_by_itself():
    async def act(joined):
        joined.write(b"head")
        await asyncio.sleep(0)
        joined.write(b"body")
        await asyncio.sleep(0)
        joined.write(b"a")
        joined.write(b"b")
        joined.write(b"c")
        await asyncio.sleep(0)

    assert run(act) == [b"head", b"body", b"ab", b"c"]


def test_closing_sends_what_was_written_and_aborting_does_not():
    async def close(joined):
        joined.write(b"all")
        joined.close()
        assert joined.is_closing()

    async def abort(joined):
        joined.write(b"nothing")
        joined.abort()
        await asyncio.sleep(0)

    assert run(close) == [b"all"]
    assert run(abort) == []


def test_the_rest_is_the_transport_s():
    async def act(joined):
        assert joined.get_extra_info("peername") == "the peername"

    assert run(act) == []
