"""`evergreen data`: on a tiny real dataset."""

import pytest

from tests.data.conftest import make_project


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """A packed dataset of two classes, which the settings name."""
    project = make_project(tmp_path / "project", classes=("bag", "coat"))
    dataset = project.prepare()
    monkeypatch.setenv("EVERGREEN_DATA__FOLDER", str(project.data))
    return project, dataset


def test_list_says_what_the_dataset_holds(packed, evergreen):
    project, dataset = packed
    said = evergreen("data", "list")
    rows = dict(line.split(maxsplit=1) for line in said.out.splitlines())
    assert said.code == 0
    assert rows["digest"].strip() == dataset.digest
    assert rows["size"].strip().endswith(f" MB in {project.data}")
    assert "image_folder, 60 images, " in said.out
    counts = {split: int(rows[split].split()[0]) for split in ("train", "validation", "test")}
    assert sum(counts.values()) == 60
    assert "bag " in rows["train"]


def test_adding_a_folder_that_is_not_there_is_a_data_error(packed, evergreen):
    said = evergreen("data", "add", "/nowhere")
    assert said.code == 10
    assert "/nowhere" in said.err
