"""What the images hold: what a server needs and nothing that builds, tests or installs; the model on top of it."""

import json
import re
from importlib import metadata
from pathlib import Path

import docker
import pytest
from packaging.requirements import Requirement

from tests.container.shell import DockerShell
from tests.docs.pages import ROOT, Block, page

HOLDINGS = Path(__file__).with_name("holdings.py")
PARTS = {  # by folder
    "torch": ("torch", "torchgen", "functorch"),
    "numpy": ("numpy", "numpy.libs"),
    "pillow": ("PIL", "pillow.libs"),
}


@pytest.fixture(scope="module")
def holdings(engine: docker.DockerClient, server_image: str) -> dict:
    command = ["python3", "-c", HOLDINGS.read_text()]
    return json.loads(engine.containers.run(server_image, command, remove=True, user="0", network_mode="none"))


def layers(engine: docker.DockerClient, image: str) -> list[str]:
    return engine.images.get(image).attrs["RootFS"]["Layers"]


def test_it_holds_the_packages_of_its_lock_and_no_others(holdings):
    requirements = [Requirement(line) for line in (ROOT / "locks/serving-cpu.lock").read_text().splitlines()]
    locked = {each.name for each in requirements if each.marker is None or each.marker.evaluate()}
    assert {name.replace("_", "-") for name in holdings["packages"]} == locked
    assert "torch" in locked


def test_it_holds_nothing_that_builds_installs_or_tests(holdings):
    assert holdings["programs"] == []
    assert holdings["folders"] == []


def test_the_model_lies_on_the_servers_layers(engine, server_image, model_image):
    below, all_layers = layers(engine, server_image), layers(engine, model_image)
    assert all_layers[: len(below)] == below
    added = [entry["Size"] for entry in engine.images.get(model_image).history() if "in /bundle" in entry["CreatedBy"]]
    assert len(added) == len(all_layers) - len(below) == 2
    assert 0 < sum(added) < 1_000_000


def test_the_code_lies_on_the_packages(engine, server_image):
    copies = [entry["CreatedBy"] for entry in engine.images.get(server_image).history()]
    order = [next(i for i, copy in enumerate(copies) if f" in {path}" in copy) for path in ("/app", "/packages")]
    assert order == sorted(order), "the history begins with the newest layer"


def test_the_gpu_variant_differs_in_its_settings(engine, shell: DockerShell, server_image):
    image = f"{server_image}:gpu"
    shell.type(Block("this test", 0, "sh", f"docker build --tag {image} --target server-gpu ."))
    assert layers(engine, image) == layers(engine, server_image)
    added, own = (set(engine.images.get(each).attrs["Config"]["Env"]) for each in (image, server_image))
    assert added - own >= {"SERVING_DEVICE=cuda", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"}


def test_the_page_names_the_sizes(holdings):
    rows = re.findall(r"^\| (\w[\w ]*?) \| ([\d.]+) MB \|", page("docs/serving.md").text, re.MULTILINE)
    shown = {name: float(size) for name, size in rows}
    sizes = holdings["bytes"]
    parts = {name: sum(sizes[folder] for folder in folders) for name, folders in PARTS.items()}
    found = {**parts, "other packages": sum(sizes.values()) - sum(parts.values()), "code": holdings["code_bytes"]}
    print({name: f"{size / 1e6:.1f} MB" for name, size in found.items()})
    assert {name: shown.get(name) for name in found} == pytest.approx(
        {name: size / 1e6 for name, size in found.items()}, rel=0.1, abs=0.2
    )


def test_packages_and_code_are_smaller_than_torch_as_it_is_installed(engine, shell, server_image):
    own = sum(Path(str(file.locate())).stat().st_size for file in metadata.files("torch"))
    base, whole = (engine.images.get(image).attrs["Size"] for image in (shell.base_image, server_image))
    print(f"image {whole / 1e6:.0f} MB, of that base {base / 1e6:.0f} MB; torch as installed {own / 1e6:.0f} MB")
    assert whole - base < own
