"""A real Docker engine, and the images that docs/serving.md builds, made once a session by the page's own commands.

Needs an engine, and in CONTAINER_TEST_BASE_IMAGE the name of an image with python3 of the version that runs the
tests; make_base_image.sh makes one.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

from tests.bundles import make_tiny_bundle
from tests.container.packages import collect_packages, python_version
from tests.container.shell import DockerShell, find_block
from tests.docs.pages import ROOT

BASE_IMAGE = os.environ.get("CONTAINER_TEST_BASE_IMAGE", "")


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    if not BASE_IMAGE:
        pytest.skip("CONTAINER_TEST_BASE_IMAGE names no base image; tests/container/make_base_image.sh makes one")
    if shutil.which("docker") is None:
        pytest.skip("the command docker is not installed")
    try:
        client = docker.from_env(timeout=1800)
        client.ping()
    except DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    with_base = any(BASE_IMAGE in tag for image in client.images.list() for tag in image.tags)
    if not with_base:
        pytest.skip(f"the engine has no image {BASE_IMAGE}")
    version = client.containers.run(BASE_IMAGE, ["python3", "--version"], remove=True).decode()
    if f" {python_version()}." not in version:
        pytest.skip(f"{BASE_IMAGE} has {version.strip()}, the packages at hand are for {python_version()}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def shell(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerShell]:
    """A shell in a folder with what the Dockerfile takes, and a bundle; what it started is gone at the end."""
    shell = DockerShell(make_context(tmp_path_factory.mktemp("context")), engine, BASE_IMAGE)
    yield shell
    shell.clean_up()


@pytest.fixture(scope="session")
def server_image(shell: DockerShell) -> str:
    """The image without a model, built by the page's command."""
    shell.type(find_block("docker build --tag evergreen-server ."))
    return shell.server_image


@pytest.fixture(scope="session")
def model_image(shell: DockerShell, server_image: str) -> str:
    """The image with the tiny bundle, built by the page's command."""
    shell.type(find_block("docker build --tag fashion-mnist"))
    return shell.model_image


def make_context(folder: Path) -> Path:
    """Put together what the Dockerfile takes; packages as hard links where the disk is the same, for torch is large."""
    patterns = ("Dockerfile", ".dockerignore", "serving/**/*.py", "locks/*.lock", "deploy/image/*")
    for source in (path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()):
        target = folder / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    packages = collect_packages(ROOT / "locks/serving-cpu.lock")
    assert any(path.startswith("torch/") for path in packages)
    for path, source in packages.items():
        target = folder / "build/packages" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(source)
        except OSError:
            target.write_bytes(source.read_bytes())
    make_tiny_bundle(folder / "BUNDLE")
    return folder
