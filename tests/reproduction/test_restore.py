"""Data that was altered in the cache, in the remote, or together with what describes it: found and named."""

import dataclasses
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from serving.bundle.contract import file_sha256
from tasks.data.dataset import Dataset, DatasetVersion
from tasks.data.manifest import dataset_of, read_manifest
from tasks.data.shards import pixels_sha256
from tasks.data.versioning import version_dataset
from tasks.reproduction.order import Order
from tasks.reproduction.restore import Restored, restore_data
from tests.data.conftest import Project, make_project

ROW = 7  # of the image that is altered


@dataclass
class Versioned:
    """A project with one version of its data, in its cache and in a remote."""

    project: Project
    dataset: Dataset
    version: DatasetVersion
    remote: Path

    @property
    def shard(self) -> Path:
        """The shard whose image is altered."""
        return self.project.data / self.dataset.shards[0]

    def order(self, version: DatasetVersion | None = None) -> Order:
        version = version or self.version
        return Order(
            spec="", weights_file="", device="cpu", lock="", dvc_md5=version.dvc_md5, data_digest=self.dataset.digest,
            data_remote=str(self.remote), data_root=str(self.project.root), module="", tolerance=0.0,
        )  # fmt: skip

    def restore(self, folder: Path, order: Order | None = None) -> Restored:
        return restore_data(order or self.order(), folder / "back", folder / "home", lambda *_: None)

    def version_again(self) -> DatasetVersion:
        """Version the data folder as it is, with the digest that its manifest states."""
        dataset = dataset_of(self.project.data, read_manifest(self.project.data), "")
        return version_dataset(dataset, root=self.project.root, remote=str(self.remote), home=self.project.home)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Versioned:
    project = make_project(tmp_path_factory.mktemp("data") / "project", classes=("bag", "coat"))
    dataset = project.prepare()
    remote = project.root / "remote"
    version = version_dataset(dataset, root=project.root, remote=str(remote), home=project.home)
    return Versioned(project, dataset, version, remote)


@pytest.fixture
def versioned(made, tmp_path) -> Versioned:
    """A copy of it, to be altered."""
    root = tmp_path / "project"
    shutil.copytree(made.project.root, root)
    project = Project(root, made.project.settings)
    return dataclasses.replace(made, project=project, remote=root / "remote")


def object_of(store: Path, file: Path) -> Path:
    """Return where one of DVC's stores keeps a file of the data folder."""
    content = file.read_bytes()
    (found,) = [path for path in store.rglob("*") if path.is_file() and path.read_bytes() == content]
    found.chmod(0o644)
    return found


def alter_image(shard: Path, target: Path, *, with_sha256: bool = False) -> tuple[str, str]:
    """Change one pixel of one image of a shard, and its SHA-256 if wanted; return its SHA-256 before and after."""
    table = pq.read_table(shard)
    rows = table.to_pylist()
    pixels = np.array(Image.open(io.BytesIO(rows[ROW]["image"])))
    pixels[3, 3] ^= 255
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    before, after = rows[ROW]["sha256"], pixels_sha256(pixels)
    rows[ROW] |= {"image": stream.getvalue(), **({"sha256": after} if with_sha256 else {})}
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), target)
    return before, after


def adapt_manifest(data: Path, shard: Path) -> None:
    """Put a changed shard's SHA-256 and size into the manifest."""
    values = json.loads((data / "manifest.json").read_text())
    for batch in values["batches"]:
        for entry in batch["shards"]:
            if entry["file"] == shard.name:
                entry |= {"sha256": file_sha256(shard), "size_bytes": shard.stat().st_size}
    (data / "manifest.json").write_text(json.dumps(values))


def test_data_that_is_as_it_was_comes_back(versioned, tmp_path):
    restored = versioned.restore(tmp_path)
    assert restored.findings == ()
    assert restored.dataset is not None
    assert restored.dataset.digest == versioned.dataset.digest
    assert (restored.md5, restored.images) == (versioned.version.dvc_md5, 60)
    assert restored.files == len(versioned.dataset.shards) + 1
    assert restored.place == str(versioned.project.root / ".dvc" / "cache")


@pytest.mark.parametrize("store", [".dvc/cache", "remote"])
def test_one_changed_image_is_named_with_its_shard(versioned, tmp_path, store):
    stored = object_of(versioned.project.root / store, versioned.shard)
    if store == "remote":
        shutil.rmtree(versioned.project.root / ".dvc" / "cache")
    before, after = alter_image(versioned.shard, stored)
    restored = versioned.restore(tmp_path)
    assert restored.dataset is None
    changed, image = restored.findings
    assert changed.startswith(f"{versioned.shard.name} was changed: its md5 is ")
    assert str(stored) in changed
    assert image.startswith(f"{versioned.shard.name}: image {before} (")
    assert image.endswith(f"holds other pixels: {after}")


def test_an_image_that_was_changed_with_everything_that_describes_its_shard_is_named(versioned, tmp_path):
    before, _ = alter_image(versioned.shard, versioned.shard)
    adapt_manifest(versioned.project.data, versioned.shard)
    order = versioned.order(versioned.version_again())
    (image,) = versioned.restore(tmp_path, order).findings
    assert image.startswith(f"{versioned.shard.name}: image {before} (")


def test_an_image_that_was_changed_with_its_own_sha256_too_gives_another_digest(versioned, tmp_path):
    alter_image(versioned.shard, versioned.shard, with_sha256=True)
    adapt_manifest(versioned.project.data, versioned.shard)
    order = versioned.order(versioned.version_again())
    (digest,) = versioned.restore(tmp_path, order).findings
    assert "the data's digest is " in digest
    assert f"{versioned.dataset.digest} in the version's records" in digest


def test_other_data_that_agrees_with_itself_is_not_the_recorded(versioned, tmp_path):
    order = dataclasses.replace(versioned.order(), data_digest="0" * 64)
    (digest,) = versioned.restore(tmp_path, order).findings
    assert digest.endswith(f"in its manifest, and {'0' * 64} in the version's records")


def test_a_shard_that_its_manifest_does_not_describe_is_named(versioned, tmp_path):
    alter_image(versioned.shard, versioned.shard)
    sha256, image = versioned.restore(tmp_path, versioned.order(versioned.version_again())).findings
    assert sha256.startswith(f"{versioned.shard.name}: its SHA-256 is ")
    assert "holds other pixels" in image


def test_rows_that_were_changed_as_a_whole_are_told(versioned, tmp_path):
    stored = object_of(versioned.project.root / ".dvc/cache", versioned.shard)
    alter_image(versioned.shard, stored, with_sha256=True)
    changed, rows = versioned.restore(tmp_path).findings
    assert "was changed" in changed
    assert (
        rows == f"{versioned.shard.name}: each image agrees with the SHA-256 beside it, so rows were changed as a whole"
    )


def test_a_shard_that_cannot_be_read_is_named(versioned, tmp_path):
    stored = object_of(versioned.project.root / ".dvc/cache", versioned.shard)
    stored.write_bytes(stored.read_bytes()[:-9])
    changed, reason = versioned.restore(tmp_path).findings
    assert "was changed" in changed
    assert reason.startswith(f"{versioned.shard.name} cannot be read any more: ")


def test_a_changed_manifest_and_a_changed_list_of_files_are_named(versioned, tmp_path):
    stored = object_of(versioned.project.root / ".dvc/cache", versioned.project.data / "manifest.json")
    stored.write_bytes(stored.read_bytes() + b" ")
    (finding,) = versioned.restore(tmp_path).findings
    assert finding.startswith("manifest.json was changed: its md5 is ")
    (listing,) = (versioned.project.root / ".dvc/cache").rglob("*.dir")
    listing.chmod(0o644)
    listing.write_bytes(listing.read_bytes() + b" ")
    (finding,) = versioned.restore(tmp_path / "again").findings
    assert finding.startswith(f"{versioned.version.dvc_md5} was changed: its md5 is ")


def test_an_image_that_cannot_be_decoded_is_named_and_many_are_counted(versioned, tmp_path):
    table = pq.read_table(versioned.shard)
    rows = table.to_pylist()
    assert len(rows) > 9
    for row in rows[:9]:
        row["image"] = b"no image"
    stored = object_of(versioned.project.root / ".dvc/cache", versioned.shard)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), stored)
    _, *images = versioned.restore(tmp_path).findings
    assert len(images) == 6
    assert f"image {rows[0]['sha256']}" in images[0]
    assert images[-1] == "and 4 more images"
