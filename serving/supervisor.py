"""The supervisor: several workers behind one port, each a process of its own; one that dies is started again.

It takes no requests and holds no model. It ends its workers, and they end with it, however it ends.
"""

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from serving.board import Board, Slot, make_board_file
from serving.listeners import Address
from serving.metrics_folder import make_metrics_folder
from serving.restarts import Ending, Pulse, Reaction, count_deaths, judge_ending, restart_delay_s
from serving.settings import ServerSettings
from serving.share import Share, settings_environment
from serving.state import State
from serving.worker_metrics import forget_worker, worker_environment

logger = logging.getLogger(__name__)

_KILL_GRACE_S = 3.0  # beyond the time to drain, for a worker to end by itself
_POLL_S = 0.05  # while something is awaited that is no signal
_LOOK_S = 3.0  # between looks at whether the workers still run


@dataclass(eq=False)
class _Place:
    """A worker's place: who is in it now, or when the next one begins."""

    slot: Slot
    process: "subprocess.Popen[bytes] | None" = None
    begins: float = 0.0  # time.monotonic()
    deaths: int = 0  # one soon after the other
    is_first: bool = True
    pulse: Pulse = field(default_factory=Pulse)


class Supervisor:
    """Runs `settings.workers` workers on `addresses`: the main one, and the admin one if there is one."""

    def __init__(self, settings: ServerSettings, addresses: Sequence[Address]) -> None:
        """For a process's main thread: signals are heard from now on."""
        self._settings = settings
        self._addresses = addresses
        self._board_fd = make_board_file()
        self._board = Board(settings.workers, self._board_fd)
        self._places = [_Place(slot) for slot in self._board.slots]
        self._code = 0
        self._signals = 0  # to stop
        self._forwarded = 0
        self._kill_at: float | None = None
        self._look_at = 0.0  # time.monotonic()
        self._awakened, self._waker = socket.socketpair()
        for end in (self._awakened, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it wakes
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def run(self, when_listening: Callable[[], None]) -> int:
        """Run until a signal comes or the first workers cannot begin, and return the process's exit code."""
        is_told = False
        with make_metrics_folder() as folder:
            while not self._is_stopping or any(place.process for place in self._places):
                for place in self._places:
                    self._reap(place, folder)
                    self._begin(place, folder)
                if not is_told and all(_is_listening(place) for place in self._places):
                    is_told = True
                    when_listening()
                if self._is_stopping:
                    self._stop_workers()
                else:
                    self._kill_silent()
                self._sleep(is_told=is_told)
        return self._code

    @property
    def _is_stopping(self) -> bool:
        return bool(self._signals)

    def _hear(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the handler's signature
        self._board.drain()  # in every worker, before one of them knows
        self._signals += 1

    def _begin(self, place: _Place, folder: Path) -> None:
        """Start a worker in a place that is free, when its time has come."""
        if place.process or self._is_stopping or time.monotonic() < place.begins:
            return
        place.begins, place.pulse = time.monotonic(), Pulse()
        try:
            place.process = self._start(place.slot.number, folder)
        except OSError as error:
            place.deaths += 1
            place.begins += restart_delay_s(place.deaths)
            logger.error("a worker cannot be started: %s", error, extra={"worker": place.slot.number})  # noqa: TRY400

    def _start(self, number: int, folder: Path) -> "subprocess.Popen[bytes]":
        """Return the process of a worker.

        Raises:
            OSError: the system has no process or no memory for it now.
        """
        with contextlib.ExitStack() as stack:
            fds = tuple(stack.enter_context(address.take()).fileno() for address in self._addresses)
            share = Share(self._board_fd, len(self._places), number, fds)
            return subprocess.Popen(
                [sys.executable, "-m", "serving.supervised", share.to_json()],
                stdin=subprocess.PIPE,  # open as long as this process lives
                pass_fds=(self._board_fd, *fds),
                env={**os.environ, **settings_environment(self._settings), **worker_environment(folder, number)},
                process_group=0,  # a terminal's Ctrl-C is for the supervisor, which passes it on once
            )

    def _reap(self, place: _Place, folder: Path) -> None:
        """Take note of a worker that has ended."""
        if place.process is None or (code := place.process.poll()) is None:
            return
        if place.process.stdin:
            place.process.stdin.close()
        now, slot = time.monotonic(), place.slot
        state, in_flight = slot.state, slot.in_flight
        ending = Ending(code, state not in (State.LOADING, State.FAILED), now - place.begins, place.deaths)
        extra = {"worker": slot.number, "pid": place.process.pid, "exit_code": code, "in_flight": in_flight}
        place.process = None
        slot.clear()
        forget_worker(folder, slot.number)
        if self._is_stopping:
            return
        if judge_ending(ending, is_first=place.is_first) is Reaction.END_ALL:
            logger.error("a worker cannot begin: the server ends", extra=extra)
            self._code = code
            self._hear(signal.SIGTERM, None)
            return
        place.deaths = count_deaths(ending)
        place.is_first = False
        delay_s = restart_delay_s(place.deaths)
        place.begins = now + delay_s
        logger.error("a worker ended, another takes its place", extra={**extra, "delay_s": delay_s})

    def _stop_workers(self) -> None:
        """Pass signals on to all workers, and kill those whose time is over."""
        now = time.monotonic()
        if self._kill_at is None:
            self._kill_at = now + self._settings.drain_s + _KILL_GRACE_S
        is_new, self._forwarded = self._signals > self._forwarded, self._signals
        for place in self._places:
            if place.process and now >= self._kill_at:
                logger.error("a worker did not end in time and is killed", extra={"worker": place.slot.number})
                place.process.kill()
            elif place.process and is_new:
                place.process.terminate()

    def _kill_silent(self) -> None:
        """Kill workers that do nothing any more: connections would still be given to them, and wait for ever."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        for place in self._places:
            if place.process and place.slot.state is not State.LOADING and place.pulse.is_lost(place.slot.beats):
                place.process.kill()
                logger.error("a worker did nothing any more and is killed", extra={"worker": place.slot.number})

    def _sleep(self, *, is_told: bool) -> None:
        """Sleep until a signal comes, or for a moment if something else is awaited."""
        is_waiting = not is_told or self._is_stopping or not all(place.process for place in self._places)
        select.select([self._awakened], [], [], _POLL_S if is_waiting else _LOOK_S)
        with contextlib.suppress(BlockingIOError):
            self._awakened.recv(4096)


def _is_listening(place: _Place) -> bool:
    return place.slot.pid != 0 and not place.slot.is_away
