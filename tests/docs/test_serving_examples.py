"""The requests that docs/serving.md shows, sent to a real server."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.bundles import make_images, make_tiny_bundle
from tests.docs.pages import page
from tests.serving.files import encode
from tests.serving.test_process import DEADLINE_S, run_server

BLOCKS = [block for block in page("docs/serving.md").blocks if block.is_commands and block.commands[0][0] == "curl"]
QUIETLY = 'curl() { command curl --silent --show-error --fail-with-body "$@" && echo; }\n'

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


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
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that is ready."""
    bundle = make_tiny_bundle(tmp_path_factory.mktemp("bundle"))
    with run_server(bundle, "--model-name", "fashion-mnist", "--model-version", "3") as server:
        deadline = time.monotonic() + DEADLINE_S
        while httpx.get(f"{server.url}/v2/health/ready", trust_env=False).status_code != httpx.codes.OK:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield server.url.removeprefix("http://")


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_requests_are_answered(block, address, folder):
    script = QUIETLY + block.text.replace("localhost:8080", address)
    done = subprocess.run(["bash", "-ec", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(block.commands)
    assert all("error" not in answer for answer in answers)
    if "/predict" in block.text:
        assert {answer["version"] for answer in answers} == {"3"}
        assert all(answer["predictions"][0]["label"] for answer in answers)


def test_the_page_has_requests():
    assert len(BLOCKS) == 2
