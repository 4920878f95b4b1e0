"""A full disk: seen before the work where the size is known, explained where it fills up in it."""

import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tasks.data import disk, pack
from tasks.data.listing import list_dataset
from tasks.data.pixels import build_pixels
from tasks.errors import DataError
from tests.data.conftest import Project


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_too_little_space_is_seen_before_packing(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**9, 10**9 - 5_000_000, 5_000_000))
    with pytest.raises(DataError, match=r"no disk space to pack image_folder: .*data has 5 MB free, about 64 MB"):
        project.prepare()
    assert list(project.data.iterdir()) == []


def test_too_little_space_is_seen_before_unpacking(project: Project, monkeypatch: pytest.MonkeyPatch):
    dataset = project.prepare()
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**9, 10**9 - 5_000_000, 5_000_000))
    with pytest.raises(DataError, match=r"no disk space to unpack the images: .*has 5 MB free, about 78 MB"):
        build_pixels(dataset, channels=3, size_px=224, cache=project.home)
    assert list((project.home / "pixels").iterdir()) == []


@pytest.fixture
def small_disk(project: Project):
    """The project's data folder on a real disk of 64 kB; mounting one needs root."""
    project.data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(project.data)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    yield project.data
    subprocess.run(["umount", str(project.data)], check=True)


def test_a_disk_that_fills_up_leaves_the_old_dataset(
    small_disk: Path, project: Project, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(disk, "RESERVE_BYTES", 0)
    monkeypatch.setattr(pack, "GROWTH", 0.0)
    aside = project.root / "aside"
    project.images.rename(aside)
    for file in sorted(aside.rglob("*.png"))[::2]:
        target = project.images / file.relative_to(aside)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    first = project.prepare()
    for file in aside.rglob("*.png"):
        file.rename(project.images / file.relative_to(aside))
    with pytest.raises(DataError, match=r"no disk space to pack image_folder: .*data has 0 MB free"):
        project.prepare()
    assert list_dataset(project.data).digest == first.digest
    assert not list(project.data.glob(".draft-*")), "nothing half-written stays"


def test_a_folder_without_room_is_named_with_what_is_free_and_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**9, 10**9 - 10_000_000, 10_000_000))
    with pytest.raises(DataError, match=r"no disk space to keep the run in MLflow: .* has 10 MB free, about 84 MB are"):
        disk.check_space(tmp_path / "mlruns", 20_000_000, "keep the run in MLflow")
