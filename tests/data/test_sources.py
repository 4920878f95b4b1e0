import gzip
import shutil
import struct
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.data.dataset import Split
from tasks.data.sources.idx import open_idx
from tasks.data.sources.image_folder import open_image_folder
from tasks.data.sources.parquet import open_parquet
from tasks.errors import DataError
from tests.data.conftest import ASSETS
from tests.data.idx_files import IMAGES, LABELS, write_idx


@pytest.mark.parametrize("packed", [True, False], ids=["gz", "plain"])
def test_idx(tmp_path: Path, packed):
    write_idx(tmp_path, "train", packed=packed)
    write_idx(tmp_path, "t10k", packed=packed, images=IMAGES[:2], labels=LABELS[:2])
    source = open_idx(str(tmp_path), "digits", tmp_path)
    images = list(source.read())
    assert (source.n_images, len(images)) == (7, 7)
    assert source.publishes == {Split.TRAIN, Split.TEST}
    assert [image.label for image in images] == ["3", "1", "2", "0", "1", "3", "1"]
    assert [image.split for image in images] == [Split.TRAIN] * 5 + [Split.TEST] * 2
    assert np.array_equal(np.stack([image.data for image in images[:5]]), IMAGES)
    suffix = ".gz" if packed else ""
    assert images[6].name == f"t10k-images-idx3-ubyte{suffix}[1]"


def cut_images(folder: Path) -> None:
    file = folder / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])


def wrong_magic(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte").write_bytes(b"x" * 99)


def fewer_labels(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 2) + b"\1\2")


def no_labels(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").unlink()


def no_files(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def cut_gzip(folder: Path) -> None:
    file = folder / "train-images-idx3-ubyte"
    (folder / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes())[:-9])
    file.unlink()


def too_long(folder: Path) -> None:
    with (folder / "train-images-idx3-ubyte").open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut_images, "cut short: 1 bytes are missing"),
        (wrong_magic, "is not IDX: it starts with 0x78787878, expected 0x00000803"),
        (fewer_labels, "has 5 images, .* 2 labels"),
        (no_labels, "has no train-labels-idx1-ubyte"),
        (no_files, "has no train-images-idx3-ubyte"),
        (cut_gzip, "is damaged: Compressed file ended before"),
        (too_long, "is longer than its header says"),
    ],
)
def test_bad_idx(tmp_path: Path, spoil, message):
    write_idx(tmp_path, "train", packed=False)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message):
        list(open_idx(str(tmp_path), "digits", tmp_path).read())


@pytest.mark.parametrize(
    ("folders", "publishes", "labels"),
    [
        (["bag", "coat"], set(), {"bag", "coat"}),
        (["train/bag", "train/coat", "test/bag"], {Split.TRAIN, Split.TEST}, {"bag", "coat"}),
        (["train/bag", "val/bag", "test/bag"], set(Split), {"bag"}),
        (["train", "plane"], set(), {"train", "plane"}),
        (["train", "test"], set(), {"train", "test"}),
        (["bag/inner/most", "coat"], set(), {"bag", "coat"}),
    ],
    ids=["classes", "published", "three splits", "a class called train", "classes called so", "deeper"],
)
def test_image_folder(tmp_path: Path, folders, publishes, labels):
    for folder in folders:
        shutil.copytree(ASSETS / "bag", tmp_path / "x" / folder)
    source = open_image_folder("x", "x", tmp_path)
    images = list(source.read())
    assert source.n_images == len(images) == 30 * len(folders)
    assert source.publishes == publishes
    assert {image.label for image in images} == labels
    assert {image.split for image in images} == (publishes or {None})


def test_hidden_files_are_left_out(tmp_path: Path):
    shutil.copytree(ASSETS / "bag", tmp_path / "bag")
    (tmp_path / "bag" / ".DS_Store").touch()
    (tmp_path / ".thumbs").mkdir()
    (tmp_path / ".thumbs" / "a.png").touch()
    assert open_image_folder(str(tmp_path), "x", tmp_path).n_images == 30


def test_the_fingerprint_follows_the_files(tmp_path: Path):
    shutil.copytree(ASSETS / "bag", tmp_path / "bag")
    first = open_image_folder(str(tmp_path), "x", tmp_path).fingerprint
    assert open_image_folder(str(tmp_path), "x", tmp_path).fingerprint == first
    min((tmp_path / "bag").iterdir()).touch()
    assert open_image_folder(str(tmp_path), "x", tmp_path).fingerprint != first


def test_an_address_goes_through_fsspec(tmp_path: Path):
    memory = fsspec.filesystem("memory")
    for file in sorted((ASSETS / "bag").iterdir()):
        memory.pipe(f"/pictures/bag/{file.name}", file.read_bytes())
    images = list(open_image_folder("memory://pictures", "x", tmp_path).read())
    assert [image.data for image in images] == [file.read_bytes() for file in sorted((ASSETS / "bag").iterdir())]


@pytest.mark.parametrize("nested", [False, True], ids=["bytes", "struct"])
def test_parquet(tmp_path: Path, nested):
    data = [b"one", b"two", None, b"four"]
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    table = {
        "image": [{"bytes": item, "path": "x"} for item in data] if nested else data,
        "label": [7, None, 2, 7],
        "split": ["train", "test", None, "val"],
        "added_at": [moment, None, moment, moment],
    }
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    source = open_parquet("a.parquet", "x", tmp_path)
    images = list(source.read())
    assert source.n_images == 4
    assert source.publishes == set(Split)
    assert [image.data for image in images] == [b"one", b"two", b"", b"four"]
    assert [image.label for image in images] == ["7", None, "2", "7"]
    assert [image.split for image in images] == [Split.TRAIN, Split.TEST, None, Split.VALIDATION]
    assert images[0].added_at == moment.isoformat()
    assert images[1].added_at.startswith("20")
    assert images[3].name == "a.parquet[3]"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"image": [b"x"], "class": [1]}, "has no column label: it has image, class"),
        ({"picture": [b"x"], "class": [1]}, "has no column image and label"),
        ({"image": [b"x"], "label": [1], "split": ["dev"]}, "has the split 'dev'; known are train, validation, test"),
        ({"image": [1.5], "label": [1]}, "row 0 has float as image"),
        ({"image": ["x.png"], "label": [1]}, "row 0 has str as image"),
    ],
)
def test_bad_parquet(tmp_path: Path, table, message):
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        list(open_parquet(str(tmp_path), "x", tmp_path).read())


def test_a_text_file_is_not_parquet(tmp_path: Path):
    (tmp_path / "a.parquet").write_text("a,b")
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet"):
        open_parquet(str(tmp_path), "x", tmp_path)
