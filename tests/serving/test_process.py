"""The server as a process: what it answers while it loads, under load, when it is told to stop, and how it ends."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from serving.load_model import load_model
from tests.bundles import make_images
from tests.serving.files import encode
from tests.serving.processes import (
    DEADLINE_S,
    PNG,
    PNG_HEADERS,
    Server,
    begin_request,
    in_flight,
    run_server,
    until,
    wait_for,
)


@pytest.fixture(scope="module")
def server(tiny_bundle: Path) -> Iterator[Server]:
    with run_server(tiny_bundle, "--max-body-bytes", "100000", "--log-level", "debug") as running:
        wait_for(running.lines, "ready")
        yield running


def test_it_answers_as_the_model_does(server, tiny_bundle):
    images = make_images(40, seed=8)
    expected = load_model(tiny_bundle, threads=1).predict(images).probabilities

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
