"""A client that leaves while its request waits: the request ends, and costs the model nothing."""

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import Receive

_PATIENCE_S = 0.05  # most requests are answered by then, and nobody looks


class Departure:
    """Cancels the task that it was made in when the client of `receive` leaves; for requests that were read whole."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.Task[None] | None = None
        self._has_left = False

    def watch(self) -> None:
        """Begin to look, in a while."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_PATIENCE_S, self._begin, loop)

    def stop(self) -> None:
        """Look no longer."""
        if self._timer is not None:
            self._timer.cancel()
        if self._look is not None:
            self._look.cancel()

    def explain(self) -> None:
        """Turn the task's cancellation into what it means.

        Raises:
            ClientDisconnect: the client has left; otherwise someone else cancelled.
        """
        if self._has_left and self._task is not None:
            self._task.uncancel()
            raise ClientDisconnect from None

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look = loop.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._has_left = True
        if self._task is not None:
            self._task.cancel()
