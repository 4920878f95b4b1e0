"""The contracts in .importlinter hold, they saw every file, and what no contract can say holds too."""

import graphlib
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.api import read_configuration

from tests.architecture.conftest import PACKAGES
from tests.conftest import ROOT

CONTRACTS = ROOT / ".importlinter"
PURE = ("tasks.evaluation.gates", "tasks.rollout.phases")
RECORDS = (*PURE, "tasks.rollout.facts", "tasks.rollout.route", "tasks.registry.record")
IMPURE = {"time", "datetime", "os", "pathlib", "random", "secrets", "shutil", "socket", "subprocess", "urllib"}
TRAINING_USES = ("numpy", "torch", "torchvision", "serving.bundle", "tasks.errors", "tasks.training")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files() -> list[Path]:
    return [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of a folder, in a process of its own: import-linter switches other loggers off."""
    code = (
        "import sys; sys.path.insert(0, '.'); from importlinter import cli; sys.exit(cli.lint_imports(no_cache=True))"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def test_every_contract_is_kept():
    done = lint_imports(ROOT)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    names = [contract["name"] for contract in read_configuration(str(CONTRACTS))["contracts_options"]]
    assert len(names) >= 9
    assert f"Contracts: {len(names)} kept, 0 broken." in said


def test_a_broken_contract_is_seen(tmp_path):
    package = tmp_path / "serving"
    package.mkdir()
    (package / "__init__.py").write_text("import mlflow\n")
    contract = "[importlinter]\nroot_package=serving\ninclude_external_packages=True\n" + (
        "[importlinter:contract:one]\nname=one\ntype=forbidden\nsource_modules=serving\nforbidden_modules=mlflow\n"
    )
    (tmp_path / ".importlinter").write_text(contract)
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "serving is not allowed to import mlflow" in done.stdout


def test_the_contracts_saw_every_file(graph):
    on_disk = {module_of(path) for path in files()}
    assert len(on_disk) > 100
    assert {name for name in graph.modules if name.split(".")[0] in PACKAGES} == on_disk
    assert set(PACKAGES) == set(read_configuration(str(CONTRACTS))["session_options"]["root_packages"])


def test_every_folder_with_code_is_a_package():
    """A folder without __init__.py is seen by nobody."""
    for folder in {path.parent for path in files()}:
        assert (folder / "__init__.py").is_file(), folder


def test_every_part_of_tasks_has_its_layer():
    (layers,) = [c for c in read_configuration(str(CONTRACTS))["contracts_options"] if c["name"].startswith("Data")]
    named = {name.strip() for layer in layers["layers"] for name in layer.replace("|", ":").split(":")}
    parts = {module_of(path) for path in (ROOT / "tasks").glob("*.py")} | {
        module_of(path) for path in (ROOT / "tasks").glob("*/__init__.py")
    }
    assert parts - {"tasks"} == {name for name in named if name.startswith("tasks.")}


@pytest.mark.parametrize("module", PURE)
def test_decisions_use_the_standard_library_only(graph, module):
    used = graph.find_upstream_modules(module)
    assert used
    assert {name for name in used if name not in sys.stdlib_module_names} <= set(PURE)
    assert not used & IMPURE


@pytest.mark.parametrize("module", ["tasks.rollout.decide", "tasks.rollout.upkeep"])
def test_the_controllers_decisions_use_records_only(graph, module):
    used = graph.find_modules_directly_imported_by(module)
    ours = {name for name in used if name not in sys.stdlib_module_names}
    assert ours
    assert ours <= {*RECORDS, "tasks.rollout.upkeep"}
    assert not used & IMPURE


def test_training_imports_what_a_bare_machine_has(graph):
    modules = {"tasks.training", *graph.find_descendants("tasks.training")}
    used = {name for module in modules for name in graph.find_modules_directly_imported_by(module)}
    others = {name for name in used if name.split(".")[0] not in sys.stdlib_module_names}
    assert {"torch", "numpy", "torchvision"} <= others
    assert {name for name in others if not name.startswith(TRAINING_USES)} == set()


def test_nothing_of_ours_is_imported_in_a_circle(graph):
    ours = [name for name in graph.modules if name.split(".")[0] in PACKAGES]
    imports = {name: graph.find_modules_directly_imported_by(name) for name in ours}
    assert len(list(graphlib.TopologicalSorter(imports).static_order())) >= len(ours)  # raises on a circle, naming it
