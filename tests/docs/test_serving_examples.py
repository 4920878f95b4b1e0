"""What docs/serving.md shows, against a real server that its own command starts."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import httpx
import pytest

from serving.settings import ServerSettings
from tests.bundles import make_images, make_tiny_bundle
from tests.docs.pages import page
from tests.serving.files import encode
from tests.serving.test_process import DEADLINE_S, run_server

PAGE = page("docs/serving.md")
REQUESTS = [block for block in PAGE.blocks if block.is_commands and block.commands[0][0] == "curl"]
(SERVER,) = (block for block in PAGE.blocks if block.is_commands and block.commands[0][0] == "python")
(CLIENT,) = (block for block in PAGE.blocks if block.language == "python")
OTHERS = {"--ipc", "--tmpfs", "--index-url"}  # of docker and pip
QUIETLY = 'curl() { command curl --silent --show-error --fail-with-body "$@" && echo; }\n'

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the requests send."""
    folder = tmp_path_factory.mktemp("requests")
    image = make_images(1, seed=3)[0]
    (folder / "shirt.png").write_bytes(encode(image, "PNG"))
    (folder / "shirt.jpg").write_bytes(encode(image, "JPEG"))
    (folder / "pixels.raw").write_bytes(image.tobytes())
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The address of the page's server, ready."""
    bundle = make_tiny_bundle(folder / "bundle")
    own = {"BUNDLE": str(bundle), "8080": "0", "logs": str(folder / "logs")}
    (command,) = SERVER.commands
    assert set(own) <= set(command)
    with run_server(bundle, *(own.get(word, word) for word in command[3:])) as server:
        deadline = time.monotonic() + DEADLINE_S
        while httpx.get(f"{server.url}/v2/health/ready", trust_env=False).status_code != httpx.codes.OK:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield server.url.removeprefix("http://")


@needs_curl
@pytest.mark.parametrize("block", REQUESTS, ids=str)
def test_the_requests_are_answered(block, address, folder):
    script = QUIETLY + block.text.replace("localhost:8080", address)
    done = subprocess.run(["bash", "-ec", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if "/metrics" in block.text:
        assert "evergreen_ready 1.0" in done.stdout.splitlines()
        return
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(block.commands)
    assert all("error" not in answer for answer in answers)
    predicted = [answer for answer in answers if "predictions" in answer]
    assert len(predicted) == block.text.count("/predict")
    assert all(answer["version"] == "3" and answer["predictions"][0]["label"] for answer in predicted)


def test_the_page_has_requests():
    assert len(REQUESTS) == 5
    assert sum(len(block.commands) for block in REQUESTS) > 10


def test_tritons_client_is_answered(address, capsys):
    exec(compile(CLIENT.text.replace("localhost:8080", address), str(CLIENT), "exec"), {})
    assert capsys.readouterr().out.count("b'") == 8


def test_the_page_names_the_metrics_that_there_are(address):
    text = httpx.get(f"http://{address}/metrics", trust_env=False).text
    exposed = set(re.findall(r"^# TYPE (evergreen_\w+) ", text, re.MULTILINE))
    named = {name for name in re.findall(r"`(evergreen_\w+)[`{]", PAGE.prose) if not name.startswith("evergreen_gpu_")}
    assert named == exposed


def test_the_page_names_the_options_that_there_are():
    options = {f"--{field.name.replace('_', '-')}" for field in fields(ServerSettings)} - {"--token"}
    named = {name.split()[0] for name in PAGE.names if name.startswith("--")} - OTHERS
    assert named <= options
    assert {option for option in options if f"{option} " not in PAGE.text and f"{option}`" not in PAGE.text} == set()
    assert "SERVING_TOKEN" in PAGE.text
