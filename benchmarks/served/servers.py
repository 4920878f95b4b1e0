"""A server as a process family: started, proven by an answer, paused while others are measured, ended."""

import contextlib
import http.client
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from benchmarks.memory import family
from benchmarks.observe import BenchmarkError, kill
from benchmarks.served.contenders import ROOT, Contender, Place
from benchmarks.served.subjects import TOLERANCE, Asked, Made

START_S = 180.0  # the most that a server gets for its first right answer
LOADING_S = 15.0  # that its other workers get after that
BACKLOG_S = 5.0  # that it gets after a load, for what still waits; some servers never rest

_ASK_S = 10.0
_POLL_S = 0.05  # each is a request that the server refuses while it starts
_CALM_S = 0.5  # between two looks at what a family of processes has computed
_CALM_SHARE = 0.2  # of a core: less is rest


class Server:
    """One contender's server, running while entered.

    `started` is `time.time()` at its start, `first_answer_s` the seconds from there to the first right answer.
    """

    def __init__(self, contender: Contender, place: Place) -> None:
        self.contender, self.place = contender, place
        self.asked = contender.ask(place.made)
        self.log = place.folder / f"{contender.key}.log"
        self.started = self.first_answer_s = 0.0

    def __enter__(self) -> Self:
        self.place.folder.mkdir(parents=True, exist_ok=True)
        if self.contender.prepare:
            _run(self.contender, self.place, self.log)
        command = [str(part) for part in self.contender.command(self.place)]
        variables = self.contender.variables(self.place)
        with self.log.open("ab") as log:
            self.started, began = time.time(), time.monotonic()
            self.process = subprocess.Popen(command, env=variables, cwd=ROOT, stdout=log, stderr=log)
        try:
            self._await_answer(began + START_S)
            self.first_answer_s = time.monotonic() - began
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.place.port

    def family(self) -> list[psutil.Process]:
        """Return its processes, the one that was started first."""
        return family(self.process.pid)

    def settle(self, most_s: float) -> None:
        """Wait, for so long at most, until it does nothing: it may still be loading, or have a backlog."""
        until = time.monotonic() + most_s
        before = cpu_seconds(self.family())
        while time.monotonic() < until:
            time.sleep(_CALM_S)
            now = cpu_seconds(self.family())
            if now - before < _CALM_SHARE * _CALM_S:
                return
            before = now

    def pause(self) -> None:
        """Stop all its processes, so that what it does at rest takes nothing from another."""
        _signal(self.family(), signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on, children first: a parent may look whether they live."""
        _signal(reversed(self.family()), signal.SIGCONT)

    def check(self) -> None:
        """Ask once.

        Raises:
            BenchmarkError: the answer is not the bare module's.
        """
        code, body = ask(self.asked, self.port)
        if code != 200:
            raise BenchmarkError(f"{self.contender.title} answers {code}: {body[:300]!r}; its log is {self.log}")
        check_answer(self.contender, self.place.made, body)

    def _await_answer(self, until: float) -> None:
        """Ask until the first right answer."""
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                code, body = ask(self.asked, self.port)
                if code == 200:
                    check_answer(self.contender, self.place.made, body)
                    return
                if code != 503:
                    raise BenchmarkError(f"{self.contender.title} answers {code}: {body[:300]!r}\n{self._last_words()}")
            if self.process.poll() is not None:
                raise BenchmarkError(f"{self.contender.title} ended {self.process.returncode}\n{self._last_words()}")
            if time.monotonic() > until:
                raise BenchmarkError(f"{self.contender.title} gave no answer in {START_S:.0f} s\n{self._last_words()}")
            time.sleep(_POLL_S)

    def _end(self) -> None:
        self.resume()
        kill(self.process.pid)
        self.process.wait()

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


def ask(asked: Asked, port: int) -> tuple[int, bytes]:
    """Return the code and the body of the answer to one request.

    Raises:
        OSError: nobody listens, or there is no answer in time.
        HTTPException: what comes back is no HTTP.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ASK_S)
    with contextlib.closing(connection):
        connection.request("POST", asked.path, asked.body, dict(asked.headers))
        answer = connection.getresponse()
        return answer.status, answer.read()


def check_answer(contender: Contender, made: Made, body: bytes) -> None:
    """Compare an answer with the bare module's.

    Raises:
        BenchmarkError: another class, or a probability that is too far off.
    """
    found, probability = contender.read(body)
    expected = int(made.answer.argmax())
    if found != expected or abs(probability - float(made.answer[expected])) > TOLERANCE:
        raise BenchmarkError(
            f"{contender.title} answers class {found} with {probability:.6f}, "
            f"the module class {expected} with {made.answer[expected]:.6f}"
        )


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Return the seconds of a core that processes have taken; those that have ended count nothing."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _signal(processes: Iterator[psutil.Process] | list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _run(contender: Contender, place: Place, log: Path) -> None:
    """Run what a contender needs before its server.

    Raises:
        BenchmarkError: it failed.
    """
    assert contender.prepare
    command = [str(part) for part in contender.prepare(place)]
    done = subprocess.run(
        command, env=contender.variables(place), cwd=ROOT, capture_output=True, text=True, check=False
    )
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)} ended {done.returncode}: {done.stderr[-2000:]}")
