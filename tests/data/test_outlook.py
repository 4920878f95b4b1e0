"""What would be packed is told without packing."""

import shutil

import pytest

from tasks.data.outlook import foresee_packing
from tasks.data.sources import fashion_files
from tasks.errors import DataError
from tasks.settings import SourceSettings
from tests.data.conftest import ASSETS, Project


def foresee(project: Project):
    return foresee_packing(project.settings, root=project.root, home=project.home)


def files_of(project: Project) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in project.root.rglob("*")}


def test_before_the_first_run_all_is_new_and_nothing_is_written(project):
    before = files_of(project)
    assert foresee(project).dataset is None
    assert foresee(project).changes == ("image_folder is new or changed",)
    assert files_of(project) == before


def test_what_is_packed_stays(project):
    dataset = project.prepare()
    before = files_of(project)
    found = foresee(project)
    assert (found.dataset.digest, found.dataset.counts, found.changes) == (dataset.digest, dataset.counts, ())
    assert files_of(project) == before


def test_a_change_is_told_by_its_source(project):
    coats = SourceSettings(kind="image_folder", location="images", name="coats")
    bags = SourceSettings(kind="image_folder", location="bags", name="bags")
    shutil.copytree(ASSETS / "bag", project.root / "bags" / "bag")
    shutil.rmtree(project.images / "bag")
    project.set(sources=(coats, bags))
    project.prepare()
    assert foresee(project).changes == ()
    next((project.images / "coat").glob("*.png")).unlink()
    assert foresee(project).changes == ("coats is new or changed",)
    project.set(sources=(bags,))
    assert foresee(project).changes == ("other sources than those that are packed",)
    project.set(validation_share=0.3)
    assert foresee(project).changes == ("bags is new or changed",)


def test_a_limit_that_the_run_would_stop_at_is_told(project):
    project.prepare()
    project.set(min_images_per_class=1000)
    with pytest.raises(DataError, match="1000"):
        foresee(project)


def test_fashion_mnist_is_not_fetched(project, monkeypatch):
    monkeypatch.setattr(fashion_files, "INSTALLED", project.root / "nowhere")
    project.set(sources=(SourceSettings(kind="fashion-mnist"),))
    assert foresee(project).changes == ("fashion-mnist is new or changed",)
