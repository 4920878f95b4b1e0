"""What the tests of this folder share: waiting for an event, free ports, a project's settings, stub servers, a load."""

import contextlib
import socket
import sys
import threading
import time
from pathlib import Path

import httpx

from serving.bundle.contract import bundle_digest
from tasks.rollout.engines.process import serving_command
from tasks.rollout.instances import ServerSpec

PROJECT = Path(__file__).resolve().parents[2]
STUB = Path(__file__).with_name("stub_server.py")
TIMEOUT_S = 30.0


def until(check, *, timeout_s=TIMEOUT_S, what="it"):
    """Return what `check` returns once it is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.02)
    return found


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for taken in sockets:
            taken.bind(("127.0.0.1", 0))
        return [taken.getsockname()[1] for taken in sockets]


def stub_command(spec):
    """Return the serving command with the stub instead of the real server."""
    options = serving_command(spec)[3:]
    return [sys.executable, str(STUB), *options]


def make_project(folder, *, tracking_uri="sqlite:///unused.db"):
    """Return the settings of a project in `folder`: the shipped file, with free ports and short times."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evergreen.toml").write_text((PROJECT / "evergreen.toml").read_text())
    router_port, admin_port, mlflow_port, prefect_port = free_ports(4)
    return {
        "EVERGREEN_HOME": str(folder / "home"),
        "EVERGREEN_CONFIG": str(folder / "evergreen.toml"),
        "EVERGREEN_STACK__ROUTER_PORT": str(router_port),
        "EVERGREEN_STACK__ROUTER_ADMIN_PORT": str(admin_port),
        "EVERGREEN_STACK__MLFLOW_PORT": str(mlflow_port),
        "EVERGREEN_STACK__PREFECT_PORT": str(prefect_port),
        "EVERGREEN_RELEASE__TICK_S": "0.1",
        "EVERGREEN_RELEASE__DRAIN_S": "1.0",
        "EVERGREEN_RELEASE__UNREADY_GRACE_S": "1.0",
        "MLFLOW_TRACKING_URI": tracking_uri,
    }


def spec_of(bundle, version=1):
    return ServerSpec(bundle, bundle_digest(bundle), "tiny", version, 1, 64, 1_000_000, 1.0)


class Load:
    """Requests one after another from a few threads until it is stopped: at most `limit` in all.

    `pause_s` stands between two requests of a thread, for a load that lasts.
    """

    def __init__(self, url, body, *, threads=4, limit=2_000, pause_s=0.002, headers=None):
        self.url = url
        self.body = body
        self.answers = []
        self._headers = headers
        self._limit = limit
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S)

    def wait_for(self, count):
        """Return when `count` more requests have been answered."""
        wanted = len(self.answers) + count
        assert wanted <= self._limit, "the load is over before"
        until(lambda: len(self.answers) >= wanted, what=f"{wanted} answers")

    @property
    def failures(self):
        return [answer for answer in self.answers if answer[0] != 200]

    @property
    def versions(self):
        return [version for _, version in self.answers]

    def _ask(self):
        with httpx.Client(trust_env=False, timeout=TIMEOUT_S) as client:
            while not self._stop.wait(self._pause_s) and len(self.answers) < self._limit:
                try:
                    answer = client.post(f"{self.url}/predict", content=self.body, headers=self._headers)
                    self.answers.append((answer.status_code, answer.headers.get("x-evergreen-version")))
                except httpx.HTTPError as error:
                    self.answers.append((repr(error), None))
