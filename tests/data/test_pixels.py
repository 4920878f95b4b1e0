import dataclasses
import importlib.metadata
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from serving.bundle.decode import decode_image
from serving.bundle.preprocess import Preprocess
from serving.records import image_statistics
from tasks.data import pixels as pixels_module
from tasks.data.dataset import Split
from tasks.data.pixels import ARRAYS, build_pixels, open_pixels
from tasks.data.shards import pixels_sha256
from tasks.errors import DataError
from tests.data.conftest import ASSETS, Project


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_every_image_stands_under_its_hash_and_label(project: Project, cache: Path):
    dataset = project.prepare()
    pixels = build_pixels(dataset, channels=1, size_px=28, cache=cache)
    arrays = open_pixels(pixels)
    files = {}
    for file in project.images.rglob("*.png"):
        image = decode_image(file.read_bytes(), 10**6)
        files[pixels_sha256(image).encode()] = (image, file.parent.name)
    assert len(files) == len(arrays.ids) == 90
    for image, label, key in zip(arrays.images, arrays.labels, arrays.ids, strict=True):
        expected, name = files[bytes(key)]
        assert np.array_equal(image[0], expected)
        assert pixels.classes[label] == name


def test_splits_are_slices_of_the_map(project: Project, cache: Path):
    dataset = project.prepare()
    pixels = build_pixels(dataset, channels=1, size_px=28, cache=cache)
    for split in Split:
        arrays = open_pixels(pixels, split)
        assert isinstance(arrays.images, np.memmap)
        assert np.shares_memory(arrays.images, arrays.images.base)
        assert tuple(np.bincount(arrays.labels, minlength=3)) == dataset.counts[split.title]
        assert np.array_equal(arrays.ids, np.sort(arrays.ids))
        assert len(arrays.statistics) == len(arrays.ids)
    assert sum(len(open_pixels(pixels, split).labels) for split in Split) == dataset.size


def test_the_order_does_not_depend_on_the_shards(project: Project, cache: Path, tmp_path: Path):
    first = build_pixels(project.prepare(), channels=1, size_px=28, cache=cache)
    project.set(shard_bytes=5_000)
    second = build_pixels(project.prepare(), channels=1, size_px=28, cache=tmp_path / "other")
    for name in ("splits", *ARRAYS):
        assert (first.folder / f"{name}.npy").read_bytes() == (second.folder / f"{name}.npy").read_bytes()


def test_other_shapes_go_through_the_bundles_preprocessing(project: Project, cache: Path):
    colour = np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)
    Image.fromarray(colour).save(project.images / "bag" / "colour.png")
    pixels = build_pixels(project.prepare(), channels=3, size_px=32, cache=cache)
    arrays = open_pixels(pixels)
    assert arrays.images.shape == (91, 3, 32, 32)
    (row,) = np.flatnonzero(arrays.ids == pixels_sha256(colour).encode())
    expected = Preprocess(3, 32)(torch.from_numpy(colour.transpose(2, 0, 1).copy())).numpy()
    assert np.array_equal(arrays.images[row], expected)


def test_excluded_rows_are_not_in_the_map(project: Project, cache: Path):
    shutil.copy(min((project.images / "bag").iterdir()), project.images / "bag" / "again.png")
    arrays = open_pixels(build_pixels(project.prepare(), channels=1, size_px=28, cache=cache))
    assert len(np.unique(arrays.ids)) == len(arrays.ids) == 90


@pytest.mark.parametrize(("channels", "size_px"), [(1, 28), (3, 16)], ids=["of the images' shape", "resized"])
def test_statistics_are_those_of_the_images_as_sent(project: Project, cache: Path, channels: int, size_px: int):
    colour = np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)
    Image.fromarray(colour).save(project.images / "bag" / "colour.png")
    expected = {}
    for file in project.images.rglob("*.png"):
        image = decode_image(file.read_bytes(), 10**6)
        expected[pixels_sha256(image).encode()] = dataclasses.astuple(image_statistics(image))
    arrays = open_pixels(build_pixels(project.prepare(), channels=channels, size_px=size_px, cache=cache))
    assert len(arrays.ids) == 91
    assert dict(zip(arrays.ids.tolist(), arrays.statistics.tolist(), strict=True)) == expected


def test_other_code_builds_the_map_anew(project: Project, cache: Path, tmp_path: Path, monkeypatch):
    dataset = project.prepare()
    old = build_pixels(dataset, channels=1, size_px=28, cache=cache)
    (old.folder / "statistics.npy").unlink()  # say that there was none then
    for name in pixels_module.MAKERS:
        copy = tmp_path / "code" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pixels_module.PROJECT / name, copy)
    monkeypatch.setattr(pixels_module, "PROJECT", tmp_path / "code")
    assert build_pixels(dataset, channels=1, size_px=28, cache=cache).folder == old.folder
    with (tmp_path / "code" / "serving" / "bundle" / "decode.py").open("a") as code:
        code.write("# other\n")
    new = build_pixels(dataset, channels=1, size_px=28, cache=cache)
    assert len(open_pixels(new).statistics) == 90


@pytest.mark.parametrize("name", pixels_module.MAKERS)
def test_every_line_of_the_code_counts(tmp_path: Path, monkeypatch, name: str):
    before = pixels_module.makers_digest()
    for maker in pixels_module.MAKERS:
        (tmp_path / maker).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pixels_module.PROJECT / maker, tmp_path / maker)
    monkeypatch.setattr(pixels_module, "PROJECT", tmp_path)
    assert pixels_module.makers_digest() == before
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"\n")
    assert pixels_module.makers_digest() != before


@pytest.mark.parametrize("library", ["numpy", "pillow", "torch"])
def test_another_version_of_a_library_counts(monkeypatch, library: str):
    before, version = pixels_module.makers_digest(), importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0" if name == library else version(name))
    assert pixels_module.makers_digest() != before


def test_the_maps_that_were_used_last_are_kept(project: Project, cache: Path):
    dataset = project.prepare()
    built = [build_pixels(dataset, channels=1, size_px=28 - size, cache=cache).folder for size in range(4)]
    for age_s, folder in enumerate(reversed(built)):
        os.utime(folder, (1_000_000 - age_s, 1_000_000 - age_s))
    build_pixels(dataset, channels=1, size_px=28, cache=cache)  # the oldest, used again
    newest = build_pixels(dataset, channels=1, size_px=20, cache=cache).folder
    assert set((cache / "pixels").iterdir()) == {newest, built[0], built[2], built[3]}


def test_a_map_is_built_once_for_a_digest_shape_and_class_order(project: Project, cache: Path):
    dataset = project.prepare()
    first = build_pixels(dataset, channels=1, size_px=28, cache=cache)
    calls: list[str] = []
    again = build_pixels(
        dataset, channels=1, size_px=28, cache=cache, report=lambda stage, done, total: calls.append(stage)
    )
    assert (again, calls) == (first, [])
    assert build_pixels(dataset, channels=1, size_px=14, cache=cache).folder != first.folder
    project.set(classes=("dress", "coat", "bag"))
    other = project.prepare()
    assert other.digest == dataset.digest
    assert build_pixels(other, channels=1, size_px=28, cache=cache).folder != first.folder


def test_a_second_builder_waits_for_the_first_and_takes_its_map(project: Project, cache: Path):
    dataset = project.prepare()
    waits = threading.Event()
    stages: list[str] = []
    made = []

    def report_second(stage: str, done: int, total: int) -> None:
        stages.append(stage)
        waits.set()

    def build_second() -> None:
        made.append(build_pixels(dataset, channels=1, size_px=28, cache=cache, report=report_second))

    second = threading.Thread(target=build_second)

    def report_first(stage: str, done: int, total: int) -> None:
        if done == 0:
            second.start()
            assert waits.wait(timeout=60)

    first = build_pixels(dataset, channels=1, size_px=28, cache=cache, report=report_first)
    second.join(timeout=60)
    assert made == [first]
    assert stages == [f"wait for process {os.getpid()}, which unpacks the images"]


KILLED = """
import os, signal, sys
from pathlib import Path
from tasks.data.pixels import build_pixels
from tasks.data.manifest import dataset_of, read_manifest

folder = Path(sys.argv[1])

def die(stage, done, total):
    if done:
        os.kill(os.getpid(), signal.SIGKILL)

dataset = dataset_of(folder, read_manifest(folder), "")
build_pixels(dataset, channels=1, size_px=28, cache=Path(sys.argv[2]), report=die)
"""


def test_a_killed_build_leaves_no_map(project: Project, cache: Path):
    dataset = project.prepare()
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(project.data), str(cache)], cwd=ASSETS.parents[2], check=False
    )
    assert child.returncode == -9
    assert len(list((cache / "pixels").iterdir())) == 1, "its draft"
    pixels = build_pixels(dataset, channels=1, size_px=28, cache=cache)
    assert len(open_pixels(pixels).labels) == 90
    assert list((cache / "pixels").iterdir()) == [pixels.folder]


def test_a_dataset_that_was_packed_anew_is_not_unpacked_under_the_old_digest(project: Project, cache: Path):
    old = project.prepare()
    min(project.images.rglob("*.png")).unlink()
    project.prepare()
    with pytest.raises(DataError, match="it was packed anew; run again"):
        build_pixels(old, channels=1, size_px=28, cache=cache)


def test_a_lost_map_is_named(project: Project, cache: Path):
    pixels = build_pixels(project.prepare(), channels=1, size_px=28, cache=cache)
    (pixels.folder / "labels.npy").unlink()
    with pytest.raises(DataError, match=r"labels\.npy is gone"):
        open_pixels(pixels)


def test_fitting_images_need_no_torch(project: Project, cache: Path):
    project.prepare()
    code = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "pass") + "\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(project.data), str(cache)], cwd=ASSETS.parents[2], check=True)
    (folder,) = (cache / "pixels").iterdir()
    assert (folder / "images.npy").is_file()
