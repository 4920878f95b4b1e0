"""A full disk: seen before the work where the size is known, explained where it fills up in it."""

import subprocess
from collections import namedtuple
from pathlib import Path

import pytest

from tasks.data import disk, pack
from tasks.data.listing import list_dataset
from tasks.data.pixels import build_pixels
from tasks.errors import DataError
from tests.data.conftest import Project

Usage = namedtuple("Usage", "total used free")


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
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(project.data)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    yield project.data
    subprocess.run(["umount", str(project.data)], check=True)


def test_a_disk_that_fills_up_leaves_the_old_dataset(
    small_disk: Path, project: Project, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(disk, "RESERVE_BYTES", 0)
    monkeypatch.setattr(pack, "GROWTH", 0.0)
    project.set(min_images_per_class=1)
    all_images = sorted(project.images.rglob("*.png"))
    aside = project.root / "aside"
    for file in all_images[20::30] + all_images[21::30] + [f for n, f in enumerate(all_images) if n % 30 > 21]:
        target = aside / file.relative_to(project.images)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            file.rename(target)
    for file in [f for n, f in enumerate(all_images) if n % 30 < 10]:
        target = aside / file.relative_to(project.images)
        file.rename(target)
    first = project.prepare()
    for file in list(aside.rglob("*.png")):
        file.rename(project.images / file.relative_to(aside))
    with pytest.raises(DataError, match=r"no disk space to pack image_folder: .*data has 0 MB free"):
        project.prepare()
    assert list_dataset(project.data).digest == first.digest
    assert not list(project.data.glob(".draft-*")), "nothing half-written stays"
