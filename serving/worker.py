"""One worker: uvicorn around the application, until it is told to stop or its model cannot be loaded.

A server with one worker is this, in the process that was started; of several, each is a process of its own, which
`serving.supervised` makes.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import Any

import uvicorn

from serving import exit_codes
from serving.app import create_admin_app, create_app
from serving.board import Slot
from serving.connections import Connection, Keeper, Limits, most_connections
from serving.listeners import BACKLOG
from serving.service import Service
from serving.settings import ServerSettings
from serving.state import State

_TICKS_A_SWEEP = 10  # of 0.1 s: how often connections are looked at
_NEVER_S = 86_400  # uvicorn's own limit for idle connections, which `Keeper` closes


class Worker(uvicorn.Server):
    """Uvicorn that drains first: unready at once, closed when nothing is on its way, and exit code 0.

    The port stays open meanwhile: probes read "not ready" there, and what a router still sends is answered rather than
    refused. Each answer tells its client that the connection ends with it; a second signal ends all of it.
    """

    def __init__(self, settings: ServerSettings, slot: Slot) -> None:
        """For a process's main thread: signals are heard from now on."""
        self._service = Service(settings, slot)
        config = uvicorn.Config(
            create_app(self._service),
            http=Connection,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_NEVER_S,
            timeout_graceful_shutdown=1,  # second; the time to drain is over by then
        )
        super().__init__(config)
        limits = Limits(settings.receive_s, settings.idle_s, most_connections(), settings.max_in_flight_bytes)
        self._keeper = Keeper(limits, self.server_state.connections)
        self._slot = slot
        self._listeners: Sequence[socket.socket] = ()
        self._drain_until: float | None = None  # time.monotonic()
        self._signals = 0
        slot.pid = os.getpid()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)  # uvicorn does so too, but only once it runs

    def serve_on(self, listeners: Sequence[socket.socket]) -> int:
        """Serve on the main port's socket and, if there is one, the admin port's; return the process's exit code."""
        self._listeners = listeners
        try:
            self.run(sockets=[])
        except SystemExit:  # uvicorn's, with a code that means another thing here
            return exit_codes.NO_MODEL
        if self._service.state is State.FAILED:
            return exit_codes.BUNDLE_REFUSED if self._service.is_bundle_refused else exit_codes.NO_MODEL
        return 0

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, what there is to do, and whether the process should end."""
        self._slot.beat()
        state, now = self._service.state, asyncio.get_running_loop().time()
        if state is State.DRAINING:
            self._drain()
        elif not self.servers and (state is State.READY or (state is State.LOADING and not self._is_replacing())):
            await self._listen()
        if counter % _TICKS_A_SWEEP == 0:
            self._keeper.sweep(now)
        self.should_exit = self.should_exit or self._is_done(now)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin to drain; at a second signal, stop."""
        self._signals += 1
        if self._signals > 1:
            self.should_exit = True
        self._service.start_draining()
        self._slot.is_away = len(self._slot.board.slots) > 1  # told alone, it leaves the others ready
        self._drain()

    def _drain(self) -> None:
        if self._drain_until is None:
            self._drain_until = time.monotonic() + self._service.settings.drain_s
            self._keeper.drain()

    def _is_replacing(self) -> bool:
        """Whether others are there to answer while this one, in a dead one's place, still loads."""
        return self._slot.is_away and self._slot.board.state is State.READY

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        apps = [self.config.loaded_app, *([create_admin_app(self._service)] if len(self._listeners) > 1 else [])]
        for listener, app in zip(self._listeners, apps, strict=True):
            self.servers.append(await loop.create_server(partial(self._connect, app), sock=listener, backlog=BACKLOG))
        self._slot.is_away = False

    def _connect(self, app: Any) -> Connection:
        connection = Connection(self.config, self.server_state, self.lifespan.state, keeper=self._keeper)
        connection.app = app
        return connection

    def _is_done(self, now: float) -> bool:
        if self._drain_until is None:
            return self._service.state is State.FAILED
        if time.monotonic() >= self._drain_until:
            return True
        return self._service.in_flight == 0 and self._keeper.is_quiet(now)
