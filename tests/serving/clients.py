"""Clients that ask one request after the other on a connection that they keep, each in a thread of its own."""

import http.client
import threading
import time
from dataclasses import dataclass, field

from tests.serving.processes import DEADLINE_S, PNG, PNG_HEADERS, Server

_FAIRLY_IDLE_S = 0.5  # who sends on a connection that waited so long must be ready to find it closed


@dataclass
class Client:
    """What one client saw."""

    server: Server
    stop: threading.Event
    codes: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # requests that were sent and not answered
    ports: list[int] = field(default_factory=list)  # its own, of each connection
    was_told_to_go: bool = False

    def run(self, *, comes_back: bool) -> None:
        """Ask until `stop`; at the end of a connection end too, or come back on a new one."""
        while not self.stop.is_set() and self._connect() and comes_back and not self.was_told_to_go:
            pass

    def _connect(self) -> bool:
        """Ask on a new connection until its end; False if there is none to be had."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=DEADLINE_S)
        try:
            connection.connect()
        except OSError:
            return False
        self.ports.append(connection.sock.getsockname()[1])
        answered = time.monotonic()
        try:
            while not self.stop.is_set():
                connection.request("POST", "/predict", body=PNG, headers=PNG_HEADERS)
                response = connection.getresponse()
                response.read()
                self.codes.append(response.status)
                answered = time.monotonic()
                if response.headers.get("connection") == "close":
                    self.was_told_to_go = True
                    break
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() - answered < _FAIRLY_IDLE_S:
                self.failures.append(repr(error))
        finally:
            connection.close()
        return True


class Crowd:
    """Several clients at once."""

    def __init__(self, server: Server, size: int, *, come_back: bool = False) -> None:
        self._stop = threading.Event()
        self.clients = [Client(server, self._stop) for _ in range(size)]
        self._threads = [
            threading.Thread(target=client.run, kwargs={"comes_back": come_back}, daemon=True)
            for client in self.clients
        ]
        for thread in self._threads:
            thread.start()

    @property
    def answers(self) -> int:
        return sum(len(client.codes) for client in self.clients)

    def stop(self) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
