"""Open loop: requests go out on a fixed schedule, whether the server keeps up or not.

A request's latency counts from its place in the schedule, so that what waits, here or there, is not hidden. Requests
wait here only where all connections are busy; what is unanswered at the end counts as long as it has waited so far.
"""

import asyncio
import contextlib
import gc
import time
from collections import deque
from dataclasses import dataclass, field

import uvloop

from benchmarks.served.connection import Connection, connect, to_bytes
from benchmarks.served.figures import Figures, percentile
from benchmarks.served.subjects import Asked

CONNECTIONS = 512  # at most; more are opened when all that there are wait for answers
READY = 64  # that are open before the first request
REST_S = 0.3  # for the server to take those in
GRACE_S = 2.0  # after the last request, for the answers that are out

_UNANSWERED = -1
_TICK_S = 0.001  # the shortest wait: a loop that waits less would turn, and take a core from the server


@dataclass(frozen=True)
class Load:
    """So many requests a second, for so many seconds."""

    rate: float
    seconds: float

    @property
    def count(self) -> int:
        """How many requests."""
        return max(1, round(self.rate * self.seconds))

    def at_s(self, number: int) -> float:
        """Return when a request is due, in seconds from the start: evenly spaced, the first at once."""
        return number / self.rate


@dataclass(frozen=True)
class Answer:
    """What came of one request: its code, or what stands for none; seconds from its place in the schedule; when."""

    code: int
    seconds: float
    at_s: float


@dataclass
class Outcome:
    """What came of a load, and how late each request was sent."""

    load: Load
    answers: list[Answer] = field(default_factory=list)
    lags_s: list[float] = field(default_factory=list)
    generator_s: float = 0.0  # of a core

    def figures(self) -> Figures:
        """Return the figures; the rate is that of the answers that came while requests were sent.

        The percentiles are of the answers with 2xx, and of what got none, which waited longer.
        """
        good = [answer for answer in self.answers if 200 <= answer.code < 300]
        waited = [answer.seconds for answer in self.answers if answer.code == _UNANSWERED] + [a.seconds for a in good]
        errors: dict[str, int] = {}
        for answer in self.answers:
            if not 200 <= answer.code < 300:
                name = {_UNANSWERED: "unanswered", 0: "broken"}.get(answer.code, str(answer.code))
                errors[name] = errors.get(name, 0) + 1
        return Figures(
            rate=sum(answer.at_s <= self.load.seconds for answer in good) / self.load.seconds,
            p50_s=percentile(waited, 0.5),
            p99_s=percentile(waited, 0.99),
            errors=errors,
            refused_p99_s=percentile([answer.seconds for answer in self.answers if answer.code == 503], 0.99),
            lag_p99_s=percentile(self.lags_s, 0.99),
            generator_share=self.generator_s / self.load.seconds,
        )


def run_open_loop(load: Load, asked: Asked, port: int, *, connections: int = CONNECTIONS) -> Figures:
    """Send a load and return what came of it, after `load.seconds` and `GRACE_S` at the latest.

    Raises:
        OSError: nobody listens on the port.
    """
    gc.collect()
    gc.disable()  # no pause of ours in their latency
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_Generator(load, to_bytes(asked, port=port), port, connections).run()).figures()
    finally:
        gc.enable()


class _Generator:
    def __init__(self, load: Load, request: bytes, port: int, connections: int) -> None:
        self._load, self._request, self._port, self._most = load, request, port, connections
        self._outcome = Outcome(load)
        self._idle: deque[Connection] = deque()
        self._everyone: set[Connection] = set()
        self._waiting: deque[int] = deque()  # numbers of requests that no connection was free for
        self._opening: set[asyncio.Task[None]] = set()
        self._all_answered = asyncio.Event()

    async def run(self) -> Outcome:
        """Open some connections, keep to the schedule, and wait for what is out."""
        await asyncio.gather(*(self._open() for _ in range(min(READY, self._most))))
        await asyncio.sleep(REST_S)
        cpu, self._started = time.process_time(), time.perf_counter()
        for number in range(self._load.count):
            due = self._started + self._load.at_s(number)
            while (ahead := due - time.perf_counter()) > 0:
                await asyncio.sleep(max(ahead, _TICK_S))
            if number % 16 == 15:  # behind schedule there is no wait above, and answers must be read meanwhile
                await asyncio.sleep(0)
            self._send(number)
        self._outcome.generator_s = time.process_time() - cpu
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await self._all_answered.wait()
        self._give_up()
        return self._outcome

    async def _open(self) -> None:
        connection = await connect(self._port, self._answered)
        self._everyone.add(connection)
        self._free(connection)

    def _send(self, number: int) -> None:
        """Give a request to the connection that rested longest, so that all are used alike; else it waits for one."""
        self._outcome.lags_s.append(time.perf_counter() - self._started - self._load.at_s(number))
        while self._idle:
            connection = self._idle.popleft()
            if connection.is_open:
                self._dispatch(connection, number)
                return
            self._everyone.discard(connection)
        self._waiting.append(number)
        if len(self._everyone) + len(self._opening) < self._most:
            self._open_soon()

    def _dispatch(self, connection: Connection, number: int) -> None:
        connection.mark = number
        connection.send(self._request)

    def _answered(self, connection: Connection, code: int) -> None:
        self._note(code, connection.mark)
        connection.mark = None
        if len(self._outcome.answers) == self._load.count:
            self._all_answered.set()
        if connection.is_open:
            self._free(connection)
            return
        self._everyone.discard(connection)
        self._open_soon()

    def _note(self, code: int, number: int) -> None:
        at_s = time.perf_counter() - self._started
        self._outcome.answers.append(Answer(code, at_s - self._load.at_s(number), at_s))

    def _free(self, connection: Connection) -> None:
        if self._waiting:
            self._dispatch(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _open_soon(self) -> None:
        task = asyncio.get_running_loop().create_task(self._try_to_open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _try_to_open(self) -> None:
        with contextlib.suppress(OSError):  # what waits for it is unanswered then
            await self._open()

    def _give_up(self) -> None:
        """Count what has no answer as long as it has waited."""
        numbers = [connection.mark for connection in self._everyone if connection.mark is not None]
        for number in (*numbers, *self._waiting):
            self._note(_UNANSWERED, number)
        for task in self._opening:
            task.cancel()
        for connection in self._everyone:
            connection.close()
