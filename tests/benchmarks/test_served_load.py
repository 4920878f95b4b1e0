"""The load generators: what they send, when, and how they count what comes back."""

import asyncio
import contextlib
import math
import shutil
import threading
from collections.abc import Iterator

import pytest

from benchmarks.observe import BenchmarkError
from benchmarks.served.closed_loop import read_wrk, run_own, run_wrk
from benchmarks.served.connection import to_bytes
from benchmarks.served.figures import Figures, add_errors, middle, percentile
from benchmarks.served.open_loop import Answer, Load, Outcome, run_open_loop
from benchmarks.served.subjects import Asked

BODY = bytes(range(256))
ASKED = Asked("/predict", {"content-type": "application/octet-stream", "x-image-shape": "16,16"}, BODY)
NEEDS_WRK = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed: apt-get install wrk")


class Answerer:
    """An HTTP server on a port of this machine, in a thread; `answer` maps a request's number to (code, seconds)."""

    def __init__(self, answer):
        self.requests = []
        self._answer = answer

    async def serve(self, ready, done):
        self._tasks = set()
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        ready(server.sockets[0].getsockname()[1])
        async with server:
            await done.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _talk(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                self.requests.append((head, await reader.readexactly(length)))
                code, seconds = self._answer(len(self.requests))
                await asyncio.sleep(seconds)
                if not code:
                    return
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n{}" % code)


@contextlib.contextmanager
def answering(answer) -> Iterator[tuple[int, Answerer]]:
    """Answer within the block; yields the port."""
    answerer, ports, listening = Answerer(answer), [], threading.Event()
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    def ready(port):
        ports.append(port)
        listening.set()

    thread = threading.Thread(target=lambda: loop.run_until_complete(answerer.serve(ready, done)))
    thread.start()
    assert listening.wait(10)
    try:
        yield ports[0], answerer
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 102)), 0.99, 100),
        ([7.0], 0.99, 7.0),
        ([7.0, 8.0], 0.0, 7.0),
    ],
)
def test_percentiles_are_values_that_occurred(values, share, expected):
    assert percentile(values, share) == expected


def test_nothing_has_no_percentile_and_no_middle():
    assert math.isnan(percentile([], 0.5))
    assert math.isnan(middle([math.nan]))
    assert middle([math.nan, 1.0, 3.0]) == 2.0


def test_the_schedule_is_even_whatever_the_server_does():
    load = Load(rate=200.0, seconds=0.5)
    assert load.count == 100
    assert [load.at_s(number) for number in (0, 1, 99)] == pytest.approx([0, 0.005, 0.495])


def test_an_outcome_counts_waiting_as_latency_and_refusals_apart():
    counts = {(200, 0.010, 1.0): 97, (200, 0.020, 2.5): 1, (-1, 3.0, 4.0): 2, (503, 0.001, 1.0): 99, (503, 0.5, 1.0): 1,
              (0, 0.2, 1.0): 1}  # fmt: skip
    answers = [Answer(*values) for values, count in counts.items() for _ in range(count)]
    found = Outcome(Load(100.0, 2.0), answers, lags_s=[0.001], generator_s=0.5).figures()
    assert found.rate == 97 / 2  # those with 200 that came within the two seconds
    assert (found.p50_s, found.p99_s) == (0.010, 3.0)  # what never came waited longest
    assert found.refused_p99_s == 0.001
    assert found.errors == {"unanswered": 2, "503": 100, "broken": 1}
    assert (found.lag_p99_s, found.generator_share) == (0.001, 0.25)


def test_open_loop_sends_each_request_once():
    with answering(lambda number: (503 if number % 4 == 0 else 200, 0)) as (port, answerer):
        found = run_open_loop(Load(400.0, 0.25), ASKED, port, connections=8)
    assert len(answerer.requests) == 100
    head, body = answerer.requests[0]
    assert head.startswith(b"POST /predict HTTP/1.1\r\n")
    assert b"\r\nx-image-shape: 16,16\r\n" in head
    assert body == BODY
    assert found.errors == {"503": 25}
    assert 0 < found.rate <= 300  # 75 answers in a quarter of a second
    assert 0 < found.p50_s <= found.p99_s
    assert found.refused_p99_s > 0


def test_latency_counts_from_the_schedule():
    """One connection, 0.05 s an answer, twice as many requests as that allows: the last one waits for half of all."""
    with answering(lambda _: (200, 0.05)) as (port, answerer):
        found = run_open_loop(Load(40.0, 0.5), ASKED, port, connections=1)
    assert len(answerer.requests) == 20
    assert found.errors == {}
    assert found.p99_s > 0.5  # 20 x 0.05 s - 19 x 0.025 s; measured from its sending it would be 0.05 s


def test_what_is_never_answered_is_counted(monkeypatch):
    monkeypatch.setattr("benchmarks.served.open_loop.GRACE_S", 0.05)
    with answering(lambda number: (200, 60 if number > 3 else 0)) as (port, _):
        found = run_open_loop(Load(100.0, 0.1), ASKED, port, connections=2)
    assert found.errors == {"unanswered": 7}
    assert 0 < found.rate <= 30


def test_a_connection_that_the_server_closes_is_replaced():
    with answering(lambda number: (0 if number == 2 else 200, 0)) as (port, answerer):
        found = run_open_loop(Load(100.0, 0.2), ASKED, port, connections=1)
    assert found.errors == {"broken": 1}
    assert len(answerer.requests) == 20


def test_the_own_closed_loop_sends_requests_in_turn_and_counts_codes():
    other = Asked("/predict", {}, b"other")
    with answering(lambda number: (422 if number % 2 == 0 else 200, 0)) as (port, answerer):
        found = run_own([ASKED, other], port, connections=1, seconds=0.2)
    bodies = [body for _, body in answerer.requests]
    assert len(bodies) > 2
    assert bodies[:4] == [BODY, b"other", BODY, b"other"][: len(bodies)]
    assert set(found.errors) == {"422"}
    assert found.rate > 0


def test_nothing_answered_is_no_figure():
    with (
        answering(lambda _: (500, 0)) as (port, _),
        pytest.raises(BenchmarkError, match=r"nothing was answered in .* s: {'500'"),
    ):
        run_own([ASKED], port, connections=1, seconds=0.05)


@NEEDS_WRK
def test_wrk_sends_binary_bodies_in_turn():
    other = Asked("/predict?top_k=1", {"content-type": "text/plain"}, b"other")
    with answering(lambda number: (503 if number % 3 == 0 else 200, 0)) as (port, answerer):
        found = run_wrk([ASKED, other], port, connections=1, seconds=1)
    bodies = [body for _, body in answerer.requests]
    assert bodies[:4] in ([BODY, b"other"] * 2, [b"other", BODY] * 2)  # wrk takes one request to look at
    heads = {body: head for head, body in answerer.requests}
    assert b"x-image-shape: 16,16" in heads[BODY]
    assert heads[b"other"].startswith(b"POST /predict?top_k=1 ")
    refused = found.errors.pop("not 2xx")
    assert found.errors == {}
    assert refused == pytest.approx(len(bodies) / 3, abs=2)
    assert found.rate == pytest.approx(2 * refused, rel=0.2)  # a run of a second, or a little more
    assert 0 < found.p50_s <= found.p99_s < 1


def test_wrk_figures_are_read_from_its_last_line():
    line = '{"requests":900,"us":3000000,"p50_us":1500.0,"p99_us":9000.0,"codes":300,"sockets":2,"timeouts":0}'
    found = read_wrk(f"Running 3s test\n  2 threads\nFIGURES {line}\n")
    assert found == Figures(200.0, 0.0015, 0.009, {"not 2xx": 300, "broken": 2})
    with pytest.raises(BenchmarkError, match="wrk gave no figures: unable to connect"):
        read_wrk("", "unable to connect to 127.0.0.1")


def test_errors_of_all_rounds_are_added():
    rounds = [Figures(1.0, 1.0, 1.0, {"503": 2}), Figures(1.0, 1.0, 1.0, {"503": 1, "broken": 4})]
    assert add_errors(rounds) == {"503": 3, "broken": 4}


def test_a_request_says_its_length():
    assert to_bytes(Asked("/p", {"a": "b"}, b"xyz"), port=8).split(b"\r\n") == [
        b"POST /p HTTP/1.1", b"host: 127.0.0.1:8", b"content-length: 3", b"a: b", b"", b"xyz",
    ]  # fmt: skip
