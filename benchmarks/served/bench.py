"""One subject's measurements: servers started and proven, then rounds in closed loop, then open loop."""

import argparse
import contextlib
import http.client
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.observe import BenchmarkError
from benchmarks.served.bare import Bare
from benchmarks.served.closed_loop import run_closed_loop
from benchmarks.served.contenders import EVERGREEN, Contender, Place, Terms
from benchmarks.served.figures import Figures
from benchmarks.served.found import ALONE, ONE_THREAD, TWO_THREADS, Found
from benchmarks.served.open_loop import GRACE_S, Load, run_open_loop
from benchmarks.served.servers import BACKLOG_S, LOADING_S, Server, free_port
from benchmarks.served.subjects import Made, Subject, make_subject

CONSTANT = replace(EVERGREEN, key="constant", title="Evergreen, constant model")

_WARM_UP = (16, 2.0)  # connections and seconds, once each
_START_S = 20.0  # of a server, with its warm-up: an estimate
_BARE_START_S = 35.0  # of the bare module, with the search for its best batch
_BETWEEN_S = 0.7  # two measurements
_SETTLE_S = 1.5  # after an overload


@dataclass(frozen=True)
class Plan:
    """How long what is measured of one subject, in seconds; `closed_s` by connections, `shares` in percent."""

    rounds: int
    closed_s: Mapping[int, float]
    open_s: float
    bare_s: float
    shares: tuple[int, ...] = (50, 80, 120)

    def changed(self, options: argparse.Namespace) -> "Plan":
        """Return the plan with what the command line says otherwise."""
        closed_s = {each: self.closed_s.get(each, max(self.closed_s.values())) for each in options.connections or ()}
        plan = replace(self, rounds=options.rounds or self.rounds, shares=tuple(options.shares))
        plan = replace(plan, closed_s=closed_s or self.closed_s)
        if options.seconds is None:
            return plan
        seconds: float = options.seconds
        alike = dict.fromkeys(plan.closed_s, seconds)
        return replace(plan, closed_s=alike, open_s=seconds, bare_s=seconds)


def planned_seconds(plan: Plan, servers: int) -> float:
    """Return about how long a subject takes."""
    closed_s = sum(plan.closed_s.values()) + _BETWEEN_S * len(plan.closed_s)
    open_s = len(plan.shares) * (plan.open_s + _BETWEEN_S + _SETTLE_S) + GRACE_S
    bare_s = _BARE_START_S + plan.rounds * 3 * plan.bare_s
    return bare_s + servers * (_START_S + _WARM_UP[1] + plan.rounds * closed_s + open_s)


class Bench:
    """Measures one subject within `folder`, whose path it leaves behind."""

    def __init__(self, subject: Subject, plan: Plan, terms: Terms, folder: Path) -> None:
        self._began = time.monotonic()
        self.made = make_subject(subject, folder / "bundle")
        self.said = "the bare module was not measured; all serve the optimised form"
        self.titles: dict[str, str] = {}
        self._subject, self._plan, self._terms, self._folder = subject, plan, terms, folder
        self._found = Found()
        self._servers: dict[str, Server] = {}
        self._bare: Bare | None = None

    def measure(self, who: Sequence[Contender], *, with_limits: Sequence[str]) -> Found:
        """Start all, measure, and end all; a server that fails is left out from there on."""
        with contextlib.ExitStack() as stack:
            if "bare" in with_limits:
                self._start_bare(stack)
            for each in who:
                self._start(stack, each, self.made)
                if each.key == EVERGREEN.key and "constant" in with_limits:
                    self._start_constant(stack)
            if EVERGREEN not in who and "constant" in with_limits:
                self._start_constant(stack)
            for number in range(self._plan.rounds):
                self._round(number)
            for key in [key for key in self._servers if key != CONSTANT.key]:
                self._open(key)
        return self._found

    def _start_bare(self, stack: contextlib.ExitStack) -> None:
        bare = stack.enter_context(Bare(self.made, self._folder / "bare", self._terms.device))
        bare.choose_form()
        self._terms = replace(self._terms, is_optimised=bare.is_optimised)
        form = "frozen and optimised" if bare.is_optimised else "as it was trained: optimised, it is slower here"
        self.said = f"the module that the peers serve is {form}"
        batches = {ONE_THREAD: bare.find_batch(threads=1)}
        if self._terms.device == "cpu":
            batches[TWO_THREADS] = bare.find_batch(threads=2)
        self._found.batches = {ALONE: 1, **batches}
        self._found.limits = {limit: [] for limit in self._found.batches}
        self._bare = bare
        self._say("bare", f"{form}; best batches {batches}")

    def _start_constant(self, stack: contextlib.ExitStack) -> None:
        self._start(stack, CONSTANT, make_subject(self._subject.constant, self._folder / "constant"))

    def _start(self, stack: contextlib.ExitStack, contender: Contender, made: Made) -> None:
        server = Server(contender, Place(made, free_port(), self._folder / contender.key / "server", self._terms))
        try:
            stack.enter_context(server)
        except (BenchmarkError, OSError) as error:
            self._leave_out(contender, error)
            return
        self._servers[contender.key] = server
        self.titles[contender.key] = contender.title
        self._say(contender.key, f"the first right answer after {server.first_answer_s:.1f} s")
        with self._awake(server):
            server.settle(LOADING_S)
            connections, seconds = _WARM_UP
            run_closed_loop(server.asked, server.port, connections=connections, seconds=seconds)

    def _round(self, number: int) -> None:
        """Measure all once in closed loop, in their order or in the opposite one; the bare module after Evergreen."""
        keys = list(self._servers)
        if self._bare:
            keys.insert(1 if keys else 0, "bare")
        for key in reversed(keys) if number % 2 else keys:
            if key == "bare":
                self._measure_bare()
            elif key in self._servers:
                self._closed(key)

    def _measure_bare(self) -> None:
        assert self._bare
        for limit, rates in self._found.limits.items():
            threads, batch = 2 if limit == TWO_THREADS else 1, self._found.batches[limit]
            rates.append(self._bare.rate(threads=threads, batch=batch, seconds=self._plan.bare_s))
            self._say("bare", f"{limit}: {rates[-1]:,.0f} images/s")

    def _closed(self, key: str) -> None:
        server = self._servers[key]
        with self._awake(server):
            for connections, seconds in self._plan.closed_s.items():
                figures = run_closed_loop(server.asked, server.port, connections=connections, seconds=seconds)
                self._found.closed.setdefault(key, {}).setdefault(connections, []).append(figures)
                self._say(key, f"{connections} connections: {describe(figures)}")

    def _open(self, key: str) -> None:
        server, capacity = self._servers[key], self._found.capacity(key)
        with self._awake(server):
            for percent in self._plan.shares:
                load = Load(capacity * percent / 100, self._plan.open_s)
                figures = run_open_loop(load, server.asked, server.port)
                self._found.opened.setdefault(key, {})[percent] = [figures]
                self._found.offered.setdefault(key, {})[percent] = load.rate
                self._say(key, f"{percent} % of capacity, {load.rate:,.0f}/s: {describe(figures)}")
                server.settle(BACKLOG_S)

    @contextlib.contextmanager
    def _awake(self, server: Server) -> Iterator[None]:
        """Let a server run meanwhile; where it fails, or answers wrongly at the end, it is left out from there on."""
        server.resume()
        try:
            yield
            server.check()
        except (BenchmarkError, OSError, http.client.HTTPException) as error:
            self._servers.pop(server.contender.key)
            self._leave_out(server.contender, error)
        finally:
            server.pause()

    def _leave_out(self, contender: Contender, error: Exception) -> None:
        lines = str(error).strip().splitlines() or [repr(error)]
        self._found.left_out[contender.title] = ": ".join(dict.fromkeys((lines[0], lines[-1])))
        self._say(contender.key, f"left out: {error}")

    def _say(self, key: str, text: str) -> None:
        print(f"{time.monotonic() - self._began:5.0f} s: {self._subject.key} {key}: {text}", file=sys.stderr)


def describe(figures: Figures) -> str:
    """Return figures in a line."""
    errors = "".join(f", {count} {name}" for name, count in figures.errors.items())
    return f"{figures.rate:,.0f}/s, p50 {1000 * figures.p50_s:.1f} ms, p99 {1000 * figures.p99_s:.1f} ms{errors}"
