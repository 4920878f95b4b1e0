"""The locks agree with each other, and with what pyproject.toml asks for."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT

LOCKS = ROOT / "locks"
NAMES = ("cpu", "gpu", "serving-cpu", "serving-gpu")


def requirements(name: str) -> dict[str, list[str]]:
    """Return {normalised name: its lines}: a package has one for each platform where its versions differ."""
    found: dict[str, list[str]] = {}
    for line in (LOCKS / f"{name}.lock").read_text().splitlines():
        if line and not line.startswith("#"):
            found.setdefault(normalise(Requirement(line).name), []).append(line)
    return found


def normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def is_for_gpus(name: str) -> bool:
    return name.startswith(("nvidia-", "cuda-")) or name == "triton"


@pytest.mark.parametrize("name", NAMES)
def test_every_line_pins_one_version(name):
    locked = requirements(name)
    assert locked
    lines = [line for lines in locked.values() for line in lines]
    assert [line for line in lines if not re.match(r"[\w.-]+(\[\w+\])?==\d[\w.+!]*( ; .*)?$", line)] == []


@pytest.mark.parametrize(("cpu", "gpu"), [("cpu", "gpu"), ("serving-cpu", "serving-gpu")])
def test_the_cpu_lock_is_the_gpu_lock_without_the_gpu(cpu, gpu):
    extra = {name for name in requirements(gpu) if is_for_gpus(name)}
    assert extra
    assert requirements(cpu) == {name: lines for name, lines in requirements(gpu).items() if name not in extra}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_the_server_runs_what_the_pipeline_was_tested_with(kind):
    assert requirements(f"serving-{kind}").items() <= requirements(kind).items()


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_what_pyproject_asks_for_is_locked(kind):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    locked = requirements(kind)
    assert len(wanted) > 30
    for text in wanted:
        wish = Requirement(text)
        if kind == "cpu" and is_for_gpus(wish.name):
            continue
        assert normalise(wish.name) in locked, f"{wish.name} is in pyproject.toml, not in {kind}.lock"
        for line in locked[normalise(wish.name)]:
            (pin,) = Requirement(line).specifier
            assert wish.specifier.contains(pin.version, prereleases=True), f"{text} is locked as {line}"


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_what_the_server_asks_for_is_locked(kind):
    lines = (ROOT / "serving" / "requirements.in").read_text().splitlines()
    wanted = {normalise(Requirement(line).name) for line in lines if line and not line.startswith("#")}
    assert {"torch", "nvidia-ml-py"} <= wanted
    wanted = {name for name in wanted if kind == "gpu" or not is_for_gpus(name)}
    assert wanted <= requirements(f"serving-{kind}").keys()
