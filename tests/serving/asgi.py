"""A client that does what HTTP clients of tests do not: sends slowly, leaves, sends headers of its own."""

import asyncio
import json
from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message


class SlowClient:
    """One request to an application, part by part; its task runs on the event loop that made it."""

    def __init__(self, app: ASGIApp, path: str, headers: Mapping[str, str] | None = None) -> None:
        self.parts: asyncio.Queue[Message] = asyncio.Queue()
        self.messages: list[Message] = []
        self.asked = 0  # how often the application wanted more
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": ("127.0.0.1", 1),
            "server": ("server", 80),
            "state": {},
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    def send(self, body: bytes, *, is_more: bool = False) -> None:
        self.parts.put_nowait({"type": "http.request", "body": body, "more_body": is_more})

    def leave(self) -> None:
        self.parts.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int | None:
        return self.messages[0]["status"] if self.messages else None

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def json(self) -> dict:
        return json.loads(b"".join(message.get("body", b"") for message in self.messages[1:]))

    async def _receive(self) -> Message:
        self.asked += 1
        return await self.parts.get()

    async def _send(self, message: Message) -> None:
        self.messages.append(message)


async def until(is_so: Callable[[], bool], turns: int = 100_000) -> None:
    """Let the event loop and the threads go on until it is so."""
    for _ in range(turns):
        if is_so():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to be")
