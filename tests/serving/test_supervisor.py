"""A server of several workers, as processes: they share the port, the figures and the end."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from serving.worker_metrics import FOLDER_VARIABLE
from tests.serving.clients import Crowd
from tests.serving.processes import DEADLINE_S, PNG, PNG_HEADERS, Server, begin_request, run_server, until, wait_for
from tests.serving.raw import ask

ANSWERED = 'evergreen_requests_total{code="200",route="/predict"}'
RESTARTS = "evergreen_worker_restarts_total"
IN_FLIGHT = "evergreen_requests_in_flight"
IS_SPREAD = sys.platform == "linux"  # elsewhere, all workers take from one queue


@pytest.fixture(scope="module")
def server(tiny_bundle: Path) -> Iterator[Server]:
    with run_server(tiny_bundle, "--workers", "2", "--receive-s", "600") as running:
        until(running.is_ready)
        yield running


def holders(server: Server, connections: int = 32) -> set[psutil.Process]:
    """Return the workers that new connections reach; by chance only one of two, once in 2^31 times."""
    opened = [server.connect() for _ in range(connections)]
    ports = {connection.getsockname()[1] for connection in opened}
    try:
        until(lambda: ports <= server.connections().keys())
        held = server.connections()
        return {held[port] for port in ports}
    finally:
        for connection in opened:
            connection.close()


def wait_for_successor(server: Server, other: psutil.Process) -> psutil.Process:
    """Return the worker that took a place beside `other`, once it takes requests; the server is ready meanwhile."""

    def is_there() -> bool:
        assert server.is_ready(), "a worker that is away makes nobody unready"
        workers = server.workers()
        return other in workers and len(workers) == 2 and all(is_listening(worker, server) for worker in workers)

    until(is_there)
    (successor,) = set(server.workers()) - {other}
    return successor


def is_listening(worker: psutil.Process, server: Server) -> bool:
    try:
        connections = worker.net_connections("tcp")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == server.port for c in connections)


def test_connections_are_spread_over_the_workers(server):
    assert len(server.workers()) == 2
    assert not IS_SPREAD or holders(server) == set(server.workers())


def test_any_worker_tells_the_figures_of_all(server):
    before = server.metric(ANSWERED)
    assert {ask(server) for _ in range(30)} == {200}
    assert {server.metric(ANSWERED) for _ in range(10)} == {before + 30}
    assert {server.metric("evergreen_ready") for _ in range(10)} == {1}


def test_a_killed_worker_costs_what_it_held_and_is_replaced(server):
    victim, other = server.workers()
    answered, restarts = server.metric(ANSWERED), server.metric(RESTARTS)
    crowd = Crowd(server, 8, come_back=True)
    until(lambda: all(len(client.codes) > 3 for client in crowd.clients))
    held_by = server.connections()
    victim.kill()
    until(lambda: victim not in server.workers())
    asked = crowd.answers
    until(lambda: crowd.answers > asked + 50)
    successor = wait_for_successor(server, other)
    crowd.stop()
    hit = [client for client in crowd.clients if held_by.get(client.ports[0]) == victim]
    assert {code for client in crowd.clients for code in client.codes} == {200}
    failures = {client.ports[0]: client.failures for client in crowd.clients}
    assert all(client in hit or not client.failures for client in crowd.clients), (failures, held_by, victim)
    assert abs(server.metric(ANSWERED) - answered - crowd.answers) <= len(hit)  # answered and not yet counted
    assert server.metric(RESTARTS) == restarts + 1
    assert server.metric(IN_FLIGHT) == 1  # that question: none of the dead one's are left
    assert not IS_SPREAD or holders(server) == {other, successor}
    line = wait_for(server.lines, "a worker ended, another takes its place")
    assert (line["pid"], line["exit_code"], line["delay_s"]) == (victim.pid, -signal.SIGKILL, 0)


def test_a_worker_told_to_stop_alone_loses_nothing_and_is_replaced(server):
    told, other = server.workers()
    crowd = Crowd(server, 8, come_back=True)
    until(lambda: all(len(client.codes) > 3 for client in crowd.clients))
    held_by = server.connections()
    told.terminate()
    wait_for_successor(server, other)
    crowd.stop()
    assert {code for client in crowd.clients for code in client.codes} == {200}
    assert not any(client.failures for client in crowd.clients), crowd.clients
    assert all(client.was_told_to_go == (held_by[client.ports[0]] == told) for client in crowd.clients)
    assert wait_for(server.lines, "a worker ended, another takes its place")["exit_code"] == 0


def test_a_worker_that_does_nothing_any_more_is_replaced_and_its_figures_end(server):
    stuck, other = server.workers()
    held = [begin_request(server)[0] for _ in range(16)]
    until(lambda: server.metric(IN_FLIGHT) == 17)  # with that question
    held_by = server.connections()
    others = sum(held_by[connection.getsockname()[1]] == other for connection in held)
    stuck.suspend()
    wait_for(server.lines, "a worker did nothing any more and is killed")
    until(lambda: stuck not in server.workers())
    assert server.metric(IN_FLIGHT) == others + 1
    wait_for_successor(server, other)
    assert {ask(server) for _ in range(20)} == {200}
    for connection in held:
        connection.close()


def test_told_to_stop_it_is_unready_at_once_everywhere_and_answers_what_is_in_flight(tiny_bundle):
    with run_server(tiny_bundle, "--workers", "2", "--drain-s", str(DEADLINE_S)) as server:
        until(server.is_ready)
        _, finish = begin_request(server)
        until(lambda: server.metric(IN_FLIGHT) == 2)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not server.is_ready())
        assert not any(server.is_ready() for _ in range(20))
        assert httpx.get(f"{server.url}/v2/health/ready").json() == {"ready": False, "state": "draining"}
        assert ask(server) == 200
        assert finish().status_code == 200
        assert server.process.wait(DEADLINE_S) == 0
        wait_for(server.lines, "stopped")


def test_told_to_stop_under_load_it_loses_no_request_and_leaves_nothing(tiny_bundle):
    with run_server(tiny_bundle, "--workers", "2", "--drain-s", str(DEADLINE_S)) as server:
        until(server.is_ready)
        workers = server.workers()
        folder = Path(workers[0].environ()[FOLDER_VARIABLE])
        assert list(folder.iterdir())
        crowd = Crowd(server, 8)
        until(lambda: all(client.codes for client in crowd.clients))
        assert server.stop() == 0
        crowd.join()
    for client in crowd.clients:
        assert (set(client.codes), client.failures) == ({200}, [])
        assert client.was_told_to_go
    assert not any(worker.is_running() for worker in workers)
    assert not folder.exists()


def test_a_worker_that_does_not_end_is_killed(tiny_bundle):
    with run_server(tiny_bundle, "--workers", "2", "--drain-s", "0") as server:
        until(server.is_ready)
        server.workers()[0].suspend()
        assert server.stop() == 0
        wait_for(server.lines, "a worker did not end in time and is killed")
        wait_for(server.lines, "stopped")


def test_workers_end_with_a_supervisor_that_is_killed(tiny_bundle):
    with run_server(tiny_bundle, "--workers", "2") as server:
        until(server.is_ready)
        workers = server.workers()
        folder = Path(workers[0].environ()[FOLDER_VARIABLE])
        server.process.kill()
        gone, alive = psutil.wait_procs(workers, DEADLINE_S)
        assert (len(gone), alive) == (2, [])
        assert not folder.exists()


def test_a_refused_bundle_ends_all_with_code_3(tmp_path):
    with run_server(tmp_path, "--workers", "2") as server:
        line = wait_for(server.lines, "the bundle is refused")
        assert line["message"] == f"the bundle is refused: {tmp_path} is no bundle: it has no contract.json"
        assert wait_for(server.lines, "a worker cannot begin: the server ends")["exit_code"] == 3
        assert server.process.wait(DEADLINE_S) == 3


def test_a_port_that_others_share_is_not_joined(tiny_bundle):
    with socket.create_server(("127.0.0.1", 0), reuse_port=hasattr(socket, "SO_REUSEPORT")) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "serving", "--bundle", str(tiny_bundle), "--port", str(port)]
        command += ["--model-name", "fashion", "--model-version", "12", "--workers", "2"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert ended.returncode == 4
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ended.stdout


def test_metrics_are_on_the_admin_port_alone_and_health_is_on_both(tiny_bundle):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with run_server(tiny_bundle, "--workers", "2", "--admin-port", str(port)) as server:
        until(server.is_ready)
        assert ask(server) == 200
        admin = f"http://127.0.0.1:{port}"
        for path in ("/v2/health/ready", "/v2/health/live"):
            assert [httpx.get(url + path).status_code for url in (server.url, admin)] == [200, 200]
        for _ in range(10):
            assert f"{ANSWERED} 1.0" in httpx.get(f"{admin}/metrics").text
        assert httpx.get(f"{server.url}/metrics").status_code == 404
        assert httpx.post(f"{admin}/predict", content=PNG, headers=PNG_HEADERS).status_code == 404
