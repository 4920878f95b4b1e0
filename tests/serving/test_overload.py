"""More than the server can do: it refuses quickly, its memory has a bound, and afterwards it is as before."""

import http.client
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.serving.files import encode, png_header
from tests.serving.processes import DEADLINE_S, PNG, Server, run_server, until

MB = 1_000_000
MOST_IN_FLIGHT = 4
MOST_BODY = 2 * MB
MOST_BODIES = 8 * MB
MOST_PIXELS = 4 * MB
CLIENTS = 32
BOUND = 100 * MB  # bodies, and the pixels of those that are answered at a time


@pytest.fixture(scope="module")
def server(tiny_bundle: Path) -> Iterator[Server]:
    limits = {
        "max-in-flight": MOST_IN_FLIGHT, "max-in-flight-bytes": MOST_BODIES, "max-body-bytes": MOST_BODY,
        "max-pixels": MOST_PIXELS,
    }  # fmt: skip
    options = [word for name, value in limits.items() for word in (f"--{name}", str(value))]
    with run_server(tiny_bundle, *options) as running:
        until(running.is_ready)
        yield running


@dataclass
class Flood:
    """What many clients saw that ask on and on, each on a connection of its own."""

    server: Server
    body: bytes
    content_type: str = "image/png"
    seconds: dict[int, list[float]] = field(default_factory=dict)  # by code
    failures: list[str] = field(default_factory=list)

    def run(self, *, requests: int, clients: int = CLIENTS) -> Counter[int]:
        """Ask so many times each, and return how often there was which code."""
        threads = [threading.Thread(target=self._ask, args=(requests,), daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
        return Counter({code: len(times) for code, times in self.seconds.items()})

    def _ask(self, requests: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=DEADLINE_S)
        for _ in range(requests):
            started = time.perf_counter()
            try:
                connection.request("POST", "/predict", self.body, {"content-type": self.content_type})
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            self.seconds.setdefault(response.status, []).append(time.perf_counter() - started)
            if response.status == 503:
                assert response.headers["retry-after"]
        connection.close()


class Memory:
    """The most memory that the server's process holds while this is open, beyond what it held before."""

    def __init__(self, server: Server) -> None:
        self._process = psutil.Process(server.process.pid)
        self._before = self._held()
        self._stop = threading.Event()
        self._most = self._before
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(DEADLINE_S)

    @property
    def grown(self) -> int:
        """In bytes."""
        return self._most - self._before

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self._most = max(self._most, self._held())

    def _held(self) -> int:
        info = self._process.memory_info()
        return info.rss


def test_of_a_flood_as_many_are_answered_as_there_are_places_and_the_others_refused_quickly(server):
    photo = encode(Image.effect_noise((1500, 1000), 60), "PNG")
    assert len(photo) < MOST_BODY
    flood = Flood(server, photo)
    with Memory(server) as memory:
        codes = flood.run(requests=5)
    assert (set(codes), flood.failures) == ({200, 503}, [])
    assert codes[200] >= MOST_IN_FLIGHT
    assert codes[503] > codes[200]
    assert statistics.median(flood.seconds[503]) < statistics.median(flood.seconds[200])
    assert memory.grown < BOUND
    assert Flood(server, PNG).run(requests=1, clients=1) == {200: 1}


def bomb(side: int) -> bytes:
    """Return a PNG file of side x side black pixels, a thousandth of their size."""
    return encode(Image.new("L", (side, side)), "PNG")


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (bytes(MOST_BODY), "image/png", {422, 503}),
        (bytes(MOST_BODY + 1), "image/png", {413}),
        (png_header(60_000, 60_000), "image/png", {422, 503}),
        (bomb(20_000), "image/png", {422, 503}),
        (b'{"images": [' + b"[" * (MOST_BODY // 2), "application/json", {422, 503}),
        (b'{"images": [[[' + b"0," * (MOST_BODY // 2 - 20) + b"0]]]}", "application/json", {200, 503}),
    ],
    ids=["bodies of zeros", "bodies too large", "claimed pixels", "real bombs", "deep nesting", "numbers as text"],
)  # fmt: skip
def test_bodies_that_would_grow_are_refused_and_memory_has_a_bound(server, body, content_type, expected):
    flood = Flood(server, body, content_type)
    with Memory(server) as memory:
        codes = flood.run(requests=2)
    assert codes.keys() <= expected
    assert (codes.keys() & expected) - {503}, "none of them got as far as its own refusal"
    assert memory.grown < BOUND
    assert Flood(server, PNG).run(requests=1, clients=1) == {200: 1}
