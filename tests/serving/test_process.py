"""The server as a process: what it answers while it loads, under load, when it is told to stop, and how it ends."""

import contextlib
import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from serving.model import Model
from tests.bundles import make_images
from tests.serving.files import encode

DEADLINE_S = 60  # for anything that a slow machine does within seconds
PNG = encode(make_images(1, seed=1)[0], "PNG")
PNG_HEADERS = {"content-type": "image/png"}


@dataclass(frozen=True)
class Server:
    """A running server and the lines that it logs."""

    process: subprocess.Popen[str]
    lines: "queue.Queue[dict]"
    url: str

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2])), timeout=DEADLINE_S)


def wait_for(lines: "queue.Queue[dict]", message: str) -> dict:
    """Return the log line that says `message`."""
    seen = []
    while not seen or not str(seen[-1]["message"]).startswith(message):
        try:
            seen.append(lines.get(timeout=DEADLINE_S))
        except queue.Empty:
            pytest.fail(f"the server never said {message!r}, but {seen}")
    return seen[-1]


@contextlib.contextmanager
def run_server(bundle: Path, *arguments: str) -> Iterator[Server]:
    """Run a server on a free port; it listens, and may not be ready yet."""
    command = [sys.executable, "-m", "serving", "--bundle", str(bundle), "--port", "0"]
    command += ["--model-name", "fashion", "--model-version", "12", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    lines: queue.Queue[dict] = queue.Queue()

    def read() -> None:
        for line in process.stdout:
            lines.put(json.loads(line))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield Server(process, lines, f"http://127.0.0.1:{wait_for(lines, 'listening')['port']}")
    finally:
        process.kill()
        process.wait(DEADLINE_S)
        reader.join(DEADLINE_S)
        process.stdout.close()


@pytest.fixture(scope="module")
def server(tiny_bundle: Path) -> Iterator[Server]:
    with run_server(tiny_bundle, "--max-body-bytes", "100000", "--log-level", "debug") as running:
        wait_for(running.lines, "ready")
        yield running


def begin_request(server: Server) -> tuple[socket.socket, Callable[[], httpx.Response]]:
    """Send a request without the end of its body; the function returned sends that and reads the answer."""
    connection = server.connect()
    head = f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: {len(PNG)}\r\n\r\n"
    connection.sendall(head.encode() + PNG[:100])

    def finish() -> httpx.Response:
        connection.sendall(PNG[100:])
        received = b""
        while part := connection.recv(65536):
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        return httpx.Response(int(head.split()[1]), content=body)

    return connection, finish


def test_it_answers_as_the_model_does(server, tiny_bundle):
    images = make_images(40, seed=8)
    expected = Model.load(tiny_bundle, threads=1).predict(images).probabilities

    def ask(image) -> dict:
        response = httpx.post(f"{server.url}/predict", content=encode(image, "PNG"), headers=PNG_HEADERS, timeout=60)
        assert response.status_code == 200
        return response.json()["predictions"][0]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, images))
    assert [answer["class"] for answer in answers] == expected.argmax(axis=1).tolist()
    assert [answer["probability"] for answer in answers] == pytest.approx(expected.max(axis=1).tolist(), abs=1e-6)


def test_a_body_over_the_limit_gets_its_answer_and_the_connection_lives(server):
    with httpx.Client(base_url=server.url, timeout=DEADLINE_S) as client:
        for body in (b"x" * 5_000_000, iter([b"x" * 60_000] * 50)):
            assert client.post("/predict", content=body, headers=PNG_HEADERS).status_code == 413
            assert client.post("/predict", content=PNG, headers=PNG_HEADERS).status_code == 200


def test_a_client_that_leaves_harms_nobody(server):
    connection, _ = begin_request(server)
    connection.close()
    assert httpx.post(f"{server.url}/predict", content=PNG, headers=PNG_HEADERS).status_code == 200
    line = wait_for(server.lines, "request")
    assert line["code"] in (200, 499)


def test_told_to_stop_it_is_unready_at_once_and_answers_what_is_in_flight(tiny_bundle):
    with run_server(tiny_bundle, "--drain-s", str(DEADLINE_S)) as server:
        wait_for(server.lines, "ready")
        _, finish = begin_request(server)
        until(lambda: in_flight(server) == 2)  # that request and the one that asks
        server.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{server.url}/v2/health/ready").status_code == 503)
        assert httpx.get(f"{server.url}/v2/health/ready").json() == {"ready": False, "state": "draining"}
        assert httpx.post(f"{server.url}/predict", content=PNG, headers=PNG_HEADERS).status_code == 200
        assert finish().status_code == 200
        assert server.process.wait(DEADLINE_S) == 0
        wait_for(server.lines, "stopped")


def until(is_so: Callable[[], bool]) -> None:
    """Ask again and again; the asking is the waiting."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be"


def in_flight(server: Server) -> float:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("evergreen_requests_in_flight ")).split()[1])


def test_a_request_that_never_ends_does_not_keep_it(tiny_bundle):
    with run_server(tiny_bundle, "--drain-s", "0.2") as server:
        wait_for(server.lines, "ready")
        connection, _ = begin_request(server)
        with connection:
            until(lambda: in_flight(server) == 2)
            assert server.stop() == 0


def test_told_to_stop_while_loading_it_ends_well(tiny_bundle):
    with run_server(tiny_bundle) as server:
        assert server.stop() == 0
        wait_for(server.lines, "stopped")


def test_a_refused_bundle_ends_it_with_code_3_and_one_clear_line(tmp_path):
    with run_server(tmp_path) as server:
        line = wait_for(server.lines, "the bundle is refused")
        assert line["level"] == "error"
        assert line["message"] == f"the bundle is refused: {tmp_path} is no bundle: it has no contract.json"
        assert "exception" not in line
        assert server.process.wait(DEADLINE_S) == 3


def test_a_taken_port_ends_it_with_code_4(tiny_bundle):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "serving", "--bundle", str(tiny_bundle), "--port", str(port)]
        command += ["--model-name", "fashion", "--model-version", "12"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert ended.returncode == 4
    message = json.loads(ended.stdout)["message"]
    assert message.startswith(f"cannot listen on 127.0.0.1:{port}: Address already in use")
    assert message.endswith("; choose another --port")


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("serving.server", {"torch"}),  # the port must answer before torch is there
        ("serving.model", {"pyarrow", "pandas", "mlflow", "torchvision", "prefect", "dvc", "docker", "tasks", "flows"}),
    ],
)
def test_what_it_must_not_import(module, forbidden):
    code = f"import sys, {module}; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    imported = {name.partition(".")[0] for name in ended.stdout.split()}
    assert module in ended.stdout.split()
    assert not imported & forbidden
