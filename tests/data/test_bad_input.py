"""Every bad input as a real file: what is said, where it is written down, and that the rest goes on."""

import json
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.data import shards
from tasks.errors import ConfigError, DataError
from tasks.settings import SourceSettings
from tests.data.conftest import Project


def text_named_png(path: Path) -> None:
    path.write_text("a note, not an image")


def gif_named_png(path: Path) -> None:
    Image.new("L", (4, 4)).save(path, "GIF")


def truncated_png(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def truncated_jpeg(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:1000])


def damaged_png(path: Path) -> None:
    Image.new("L", (28, 28)).save(path)
    data = bytearray(path.read_bytes())
    data[45] ^= 0xFF  # within the pixels: the checksum no longer fits
    path.write_bytes(data)


def deep_png(path: Path) -> None:
    Image.fromarray(np.full((28, 28), 40_000, np.uint16)).save(path)


def huge_png(path: Path) -> None:
    """Write 20,000 x 20,000 pixels, which would be 400 MB decoded, in 400 kB."""
    row = b"\0" * 20_001
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(20_000)) + packer.flush()
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")]
    parts = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def empty_file(path: Path) -> None:
    path.touch()


BAD = [
    (text_named_png, "not a PNG or JPEG", "starts with b'a note, "),
    (gif_named_png, "not a PNG or JPEG", "starts with b'GIF"),
    (truncated_png, "truncated PNG", "truncated PNG: "),
    (truncated_jpeg, "truncated JPEG", "truncated JPEG: "),
    (damaged_png, "damaged PNG", "damaged PNG: "),
    (deep_png, "16-bit PNG", "save it with 8 bits a channel"),
    (huge_png, "too many pixels", "20000 x 20000 = 400000000 pixels, the limit is 50000000"),
    (empty_file, "empty file", "0 bytes"),
]


@pytest.mark.parametrize(("write", "reason", "detail"), BAD, ids=[write.__name__ for write, *_ in BAD])
def test_a_bad_image_is_quarantined_and_named(project: Project, write: Callable[[Path], None], reason, detail):
    write(project.images / "bag" / "bad.png")
    dataset = project.prepare()
    assert dataset.quarantined == {reason: 1}
    assert dataset.size == 90
    (line,) = (project.home / "quarantine" / "image_folder.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert (row["source"], row["name"], row["reason"]) == ("image_folder", "bag/bad.png", reason)
    assert detail in row["detail"]


def test_too_many_bad_images_stop_with_counts_and_file(project: Project):
    for number in range(3):
        empty_file(project.images / "bag" / f"{number}.png")
    text_named_png(project.images / "coat" / "note.png")
    with pytest.raises(DataError) as caught:
        project.prepare()
    message = str(caught.value)
    assert "4 of 94 images (4.3%) cannot be used, the limit is 2.0%" in message
    assert "empty file 3, not a PNG or JPEG 1" in message
    file = project.home / "quarantine" / "image_folder.jsonl"
    assert str(file) in message
    assert len(file.read_text().splitlines()) == 4
    assert not (project.data / "manifest.json").exists()


def test_mended_images_leave_the_quarantine(project: Project):
    bad = project.images / "bag" / "bad.png"
    empty_file(bad)
    project.prepare()
    bad.unlink()
    assert project.prepare().quarantined == {}
    assert not (project.home / "quarantine" / "image_folder.jsonl").exists()


def test_images_beside_the_class_folders_have_no_label(project: Project):
    shutil.copy(next(iter((project.images / "bag").iterdir())), project.images / "lost.png")
    (project.images / "README.txt").write_text("about these images")
    assert project.prepare().quarantined == {"no label": 1}


def test_unknown_labels_are_quarantined(project: Project):
    project.set(classes=("bag", "coat"), max_quarantined_share=0.5)
    dataset = project.prepare()
    assert dataset.quarantined == {"unknown label": 30}
    assert dataset.classes == ("bag", "coat")
    project.set(classes=("bag", "coat"), max_quarantined_share=0.1)
    with pytest.raises(DataError, match=r"30 of 90 images.*unknown label 30"):
        project.prepare()


def no_folder(project: Project) -> None:
    shutil.rmtree(project.images)


def no_images(project: Project) -> None:
    no_folder(project)
    (project.images / "bag").mkdir(parents=True)
    (project.images / "bag" / "note.txt").write_text("soon")


def file_for_folder(project: Project) -> None:
    no_folder(project)
    project.images.write_text("")


def empty_class(project: Project) -> None:
    (project.images / "hat").mkdir()


def one_class(project: Project) -> None:
    shutil.rmtree(project.images / "bag")
    shutil.rmtree(project.images / "coat")


def two_spellings(project: Project) -> None:
    shutil.copytree(project.images / "bag", project.images / " BAG")


def small_class(project: Project) -> None:
    for file in sorted((project.images / "bag").iterdir())[3:]:
        file.unlink()


STOPS = [
    (no_folder, "images does not exist: correct the location"),
    (no_images, "holds no images: 1 files, none of them .png, .jpg, .jpeg; expected CLASS/IMAGE.png"),
    (file_for_folder, "images is a file: image_folder needs a folder"),
    (empty_class, "no images in the class folder 'hat'; add images, or remove the folder"),
    (one_class, "found 1 class (dress); a classifier needs at least two"),
    (two_spellings, "' BAG' (30 images) and 'bag' (30 images). Rename one of them"),
    (small_class, "fewer than 5 training images: 'bag' "),
]


@pytest.mark.parametrize(("spoil", "message"), STOPS, ids=[spoil.__name__ for spoil, _ in STOPS])
def test_a_bad_folder_stops_with_the_way_out(project: Project, spoil: Callable[[Project], None], message):
    spoil(project)
    with pytest.raises(DataError, match=re.escape(message)):
        project.prepare()
    assert not (project.data / "manifest.json").exists()


def test_a_source_needs_a_location(project: Project):
    project.set(sources=(SourceSettings(kind="parquet"),))
    with pytest.raises(ConfigError, match="'parquet' has no location"):
        project.prepare()


@pytest.mark.parametrize("location", ["nonsense://x", "s4://bucket/x"])
def test_an_unknown_protocol_is_named(project: Project, location):
    project.set(sources=(SourceSettings(kind="parquet", location=location),))
    with pytest.raises(DataError, match=re.escape(location)):
        project.prepare()


def test_a_source_that_goes_away_is_told_from_a_folder_that_cannot_be_written(project: Project):
    def remove(stage: str, done: int, total: int) -> None:
        if stage.startswith("pack") and done == 0:
            min(project.images.rglob("*.png")).unlink()

    with pytest.raises(DataError, match=r"source 'image_folder' cannot be read: .*see that it is all there"):
        project.prepare(remove)


def test_a_shard_that_cannot_be_written_is_named(project: Project, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shards, "_open_writer", refuse)
    with pytest.raises(DataError, match=r"packed data of 'image_folder' cannot be written: .*data/.*make .*writable"):
        project.prepare()


def test_a_quarantine_that_cannot_be_written_is_named(project: Project):
    empty_file(project.images / "bag" / "bad.png")
    project.home.mkdir()
    (project.home / "quarantine").write_text("")
    with pytest.raises(DataError, match=r"packed data of 'image_folder' cannot be written: .*quarantine"):
        project.prepare()


def test_a_data_folder_that_cannot_be_made_is_named(project: Project):
    project.data.write_text("")
    with pytest.raises(DataError, match=r"data.folder = .*/data cannot be made: File exists; set it to another"):
        project.prepare()
