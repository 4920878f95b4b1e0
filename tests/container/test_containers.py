"""Containers of the images, with everything taken away that a server can do without: how they serve, scale and end."""

import io
import json
import tarfile
import time

import httpx
import pytest
from docker.models.containers import Container
from PIL import Image

from tests.bundles import make_images
from tests.container.shell import DockerShell, find_block
from tests.serving.files import encode

DEADLINE_S = 120  # for a health check that comes every 5 seconds on a slow machine
POLL_S = 0.2  # the engine has no event to wait for that could not have passed already
PNG = encode(make_images(1, seed=3)[0], "PNG")
ONE_WORKER, TWO_WORKERS = 1, 3  # processes: several have one that looks after them

RUN = "docker run --read-only --cap-drop ALL --publish 8080:8080 "
PLAIN = find_block(RUN + "fashion-mnist")
MOUNTED = find_block(RUN + "--volume")
WITH_LOG = find_block(RUN + "--cpus 2")


@pytest.fixture(scope="module")
def plain(shell: DockerShell, model_image: str) -> Container:
    """The page's container, ready, told to keep a log for which it has no volume."""
    options = ("--security-opt no-new-privileges", "--env SERVING_RECORD_FOLDER=/logs", "--env SERVING_LOG_LEVEL=debug")
    return wait_until_ready(shell.start(PLAIN, *options))


def wait_until_ready(container: Container) -> Container:
    """Return when the health check says so."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        container.reload()
        if container.status != "running" or container.attrs["State"]["Health"]["Status"] == "healthy":
            break
        time.sleep(POLL_S)
    assert container.status == "running", container.logs().decode()
    assert container.attrs["State"]["Health"]["Status"] == "healthy", container.logs().decode()
    return container


def url(container: Container) -> str:
    return f"http://127.0.0.1:{container.attrs['NetworkSettings']['Ports']['8080/tcp'][0]['HostPort']}"


def ask(container: Container, request_id: str, content: bytes = PNG) -> httpx.Response:
    headers = {"content-type": "image/png", "x-request-id": request_id}
    return httpx.post(f"{url(container)}/predict", content=content, headers=headers, timeout=30)


def count_processes(container: Container) -> int:
    return len([row for row in container.top()["Processes"] if "-m serving" in row[-1]])


def wait_for_metric(container: Container, line: str) -> None:
    """Return when a scrape has this line."""
    deadline = time.monotonic() + DEADLINE_S
    while line not in (text := httpx.get(f"{url(container)}/metrics", timeout=30).text).splitlines():
        assert time.monotonic() < deadline, f"no {line!r} in {text}"
        time.sleep(POLL_S)


def read_log(container: Container) -> dict[str, list[dict]]:
    """Return the records of each file in the container's /logs, whether it runs or not."""
    parts, _ = container.get_archive("/logs")
    with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as archive:
        files = [member for member in archive if member.isfile()]
        texts = {member.name: archive.extractfile(member).read() for member in files}
    return {name: [json.loads(line) for line in text.splitlines()] for name, text in texts.items()}


def test_it_answers_as_a_user_of_no_rights_on_a_root_that_is_read_only(plain):
    response = ask(plain, "plain")
    assert response.status_code == 200
    assert (response.json()["model"], response.headers["x-evergreen-version"]) == ("fashion-mnist", "3")
    assert plain.exec_run(["id", "-u"]).output.strip() == b"10001"
    assert plain.exec_run(["touch", "/app/new"]).exit_code != 0
    assert plain.exec_run(["ls", "/bundle/reference.parquet"]).exit_code != 0


def test_a_log_without_a_volume_is_said(plain):
    lines = [json.loads(line) for line in plain.logs().decode().splitlines()]
    errors = [line["message"] for line in lines if line["level"] == "error"]
    assert errors
    assert all("the prediction log cannot be written" in error and "/logs" in error for error in errors)


def test_it_ends_well(plain):
    plain.stop(timeout=20)
    assert plain.wait()["StatusCode"] == 0


def test_one_core_gets_one_worker(shell, server_image):
    container = wait_until_ready(shell.start(MOUNTED, "--cpus 1"))
    assert count_processes(container) == ONE_WORKER
    assert ask(container, "mounted").status_code == 200
    container.remove(force=True)


def test_two_cores_get_two_workers_and_their_log_survives_a_kill(engine, shell, model_image):
    if engine.info()["NCPU"] < 2:
        pytest.skip("this machine has one core")
    container = wait_until_ready(shell.start(WITH_LOG, "--memory-swap 1g"))
    assert count_processes(container) == TWO_WORKERS
    asked = {f"request-{number}" for number in range(20)}
    assert {ask(container, request_id).status_code for request_id in asked} == {200}
    large = Image.new("RGB", (2000, 2000), (200, 30, 90))  # the most pixels that the page allows
    assert ask(container, "request-large", encode(large, "PNG")).status_code == 200
    asked.add("request-large")
    wait_for_metric(container, f'evergreen_records_total{{result="written"}} {len(asked):.1f}')
    wait_for_metric(container, "evergreen_worker_restarts_total 0.0")

    container.kill()
    left = read_log(container)
    assert {record["request_id"] for records in left.values() for record in records} == asked
    assert all(name.endswith(".open") for name in left)

    container.start()
    wait_until_ready(container)
    ask(container, "after")
    container.stop(timeout=20)
    assert container.wait()["StatusCode"] == 0
    container.reload()
    assert not container.attrs["State"]["OOMKilled"]
    found = read_log(container)
    assert {record["request_id"] for records in found.values() for record in records} == asked | {"after"}
    assert all(name.endswith(".jsonl") for name in found)
