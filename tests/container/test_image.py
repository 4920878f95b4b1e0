"""The serving image, built and run by a real Docker engine with everything taken away that a server can do without.

Needs an engine, and in CONTAINER_TEST_BASE_IMAGE the name of an image with python3 of the version that runs
the tests; make_base_image.sh makes one. Takes some minutes.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import httpx
import pytest
from docker.errors import DockerException
from docker.models.containers import Container

from tests.bundles import make_images, make_tiny_bundle
from tests.container.packages import collect_packages, python_version
from tests.serving.files import encode

ROOT = Path(__file__).parents[2]
BASE_IMAGE = os.environ.get("CONTAINER_TEST_BASE_IMAGE", "")
TAG = "evergreen-serving-test"
DEADLINE_S = 120  # for a health check that comes every 5 seconds on a slow machine


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    if not BASE_IMAGE:
        pytest.skip("CONTAINER_TEST_BASE_IMAGE names no base image; tests/container/make_base_image.sh makes one")
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


@pytest.fixture(scope="module")
def image(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    context = make_context(tmp_path_factory.mktemp("context"))
    arguments = {"BASE_IMAGE": BASE_IMAGE, "MODEL_NAME": "tiny", "MODEL_VERSION": "7"}
    engine.images.build(path=str(context), tag=TAG, buildargs=arguments, rm=True, forcerm=True)
    return TAG


@pytest.fixture(scope="module")
def container(engine: docker.DockerClient, image: str) -> Iterator[Container]:
    running = engine.containers.run(
        image, detach=True, read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges"], mem_limit="1g",
        ports={"8080/tcp": ("127.0.0.1", None)},
    )  # fmt: skip
    yield running
    running.remove(force=True)


def make_context(folder: Path) -> Path:
    """Put together what the Dockerfile takes: hard links where the disk is the same, for torch is large."""
    (folder / "Dockerfile").write_bytes((ROOT / "Dockerfile").read_bytes())
    (folder / ".dockerignore").write_bytes((ROOT / ".dockerignore").read_bytes())
    sources = {
        str(path.relative_to(ROOT)): path for path in [*ROOT.glob("serving/**/*.py"), *ROOT.glob("locks/*.lock")]
    }
    packages = collect_packages(ROOT / "locks/serving-cpu.lock")
    assert any(path.startswith("torch/") for path in packages)
    sources |= {f"build/packages/{path}": source for path, source in packages.items()}
    for path, source in sources.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(source)
        except OSError:
            target.write_bytes(source.read_bytes())
    make_tiny_bundle(folder / "build/bundle")
    return folder


def wait_for_health(container: Container) -> str:
    """Return the health check's verdict once it has one, or the log if the container ended."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        container.reload()
        health = container.attrs["State"]["Health"]["Status"]
        if health != "starting" or container.status != "running":
            return health if container.status == "running" else container.logs().decode()
        time.sleep(0.5)  # the engine has no event to wait for that could not have passed already
    return f"still starting after {DEADLINE_S} s: {container.logs().decode()}"


def test_a_container_with_nothing_to_spare_answers_and_ends_well(container: Container):
    assert wait_for_health(container) == "healthy"
    port = container.attrs["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"]
    image = encode(make_images(1, seed=3)[0], "PNG")
    response = httpx.post(
        f"http://127.0.0.1:{port}/predict", content=image, headers={"content-type": "image/png"}, timeout=30
    )
    assert response.status_code == 200
    assert (response.json()["model"], response.headers["x-evergreen-version"]) == ("tiny", "7")

    assert container.exec_run(["id", "-u"]).output.strip() == b"10001"
    assert container.exec_run(["touch", "/app/new"]).exit_code != 0
    assert container.exec_run(["ls", "/bundle/reference.parquet"]).exit_code != 0

    container.stop(timeout=20)
    assert container.wait()["StatusCode"] == 0


def test_the_model_is_the_last_layer(engine: docker.DockerClient, image: str):
    copies = [layer["CreatedBy"] for layer in engine.images.get(image).history() if "COPY" in layer["CreatedBy"]]
    order = [next(i for i, copy in enumerate(copies) if part in copy) for part in ("/bundle", "/app", "/packages")]
    assert order == [0, 1, 2], "the history begins with the newest layer"
