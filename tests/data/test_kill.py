"""SIGKILL at every step that changes the folder: the dataset is the old one or the new one, and the next run repairs.

A real child process kills itself before or after the n-th rename or removal: these are all the moments at which the
folder differs from the moment before, but for drafts, which a kill while writing leaves behind too.
"""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.data.add import add_batch
from tasks.data.index import content_digest, read_kept
from tasks.data.manifest import MANIFEST, has_manifest, read_manifest
from tests.data.conftest import ASSETS, Project, make_project

CHILD = """
import os, signal, sys
from pathlib import Path
from tasks.data.add import add_batch
from tasks.data.prepare_dataset import prepare_dataset
from tasks.settings import DataSettings

step, when, verb = int(sys.argv[1]), sys.argv[2], sys.argv[3]
root, settings = Path(sys.argv[4]), DataSettings.model_validate_json(sys.argv[5])
count = 0

def counted(change):
    def wrapper(*arguments, **options):
        global count
        if when == "before" and count == step:
            os.kill(os.getpid(), signal.SIGKILL)
        result = change(*arguments, **options)
        if when == "after" and count == step:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        return result
    return wrapper

Path.replace, Path.unlink = counted(Path.replace), counted(Path.unlink)
places = {"settings": settings, "root": root, "home": root / ".evergreen"}
add_batch("more", **places) if verb == "add" else prepare_dataset(settings, root=root, home=root / ".evergreen")
print(count)
"""


def run_child(project: Project, step: int, when: str, verb: str) -> subprocess.CompletedProcess[str]:
    arguments = [str(step), when, verb, str(project.root), project.settings.model_dump_json()]
    return subprocess.run(
        [sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, check=False, cwd=ASSETS.parents[2]
    )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that packed two classes, to which a third and the folder `more` have come since."""
    project = make_project(tmp_path_factory.mktemp("kill") / "template", classes=("bag", "coat"))
    project.prepare()
    shutil.copytree(ASSETS / "dress", project.images / "dress")
    for name in ("bag", "shirt"):
        shutil.copytree(ASSETS / name, project.root / "more" / name)
    return project


def run(project: Project, verb: str) -> None:
    if verb == "prepare":
        project.prepare()
    else:
        add_batch("more", settings=project.settings, root=project.root, home=project.home)


def copy_of(template: Project, root: Path) -> Project:
    shutil.copytree(template.root, root)
    return Project(root, template.settings)


@pytest.fixture(scope="module", params=["prepare", "add"])
def finished(request: pytest.FixtureRequest, template: Project, tmp_path_factory: pytest.TempPathFactory):
    """A verb, the dataset that it ends with, and the number of its steps."""
    project = copy_of(template, tmp_path_factory.mktemp("finished") / "project")
    child = run_child(project, -1, "never", request.param)
    assert child.returncode == 0, child.stderr
    return request.param, read_manifest(project.data), int(child.stdout)


def check_whole(project: Project) -> str:
    manifest = read_manifest(project.data)
    assert content_digest(read_kept(project.data, manifest)) == manifest.digest
    return manifest.digest


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.8, 1.0])
def test_a_kill_leaves_the_old_or_the_new_dataset(finished, template: Project, tmp_path: Path, share, when):
    verb, new, n_steps = finished
    assert n_steps > 5
    old = read_manifest(template.data)
    project = copy_of(template, tmp_path / "project")
    child = run_child(project, round(share * (n_steps - 1)), when, verb)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert check_whole(project) in {old.digest, new.digest}

    if verb == "prepare" or check_whole(project) == old.digest:
        run(project, verb)
    assert check_whole(project) == new.digest
    named = {shard.file for shard in read_manifest(project.data).shards} | {MANIFEST}
    assert {path.name for path in project.data.iterdir()} == named, "what the kill left is swept"


def test_a_kill_of_the_first_run_leaves_no_dataset(template: Project, tmp_path: Path):
    project = copy_of(template, tmp_path / "project")
    shutil.rmtree(project.data)
    child = run_child(project, 2, "before", "prepare")
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert not has_manifest(project.data)
    assert list(project.data.iterdir()), "it was killed in the middle"
    assert project.prepare().size == 90
