import hashlib
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.data.add import BatchAdded, add_batch
from tasks.data.listing import list_dataset
from tasks.errors import DataError
from tests.data.conftest import ASSETS, Project


def add(project: Project, location: str = "more") -> BatchAdded:
    return add_batch(location, settings=project.settings, root=project.root, home=project.home)


def shard_states(project: Project) -> dict[str, tuple[int, str]]:
    return {
        path.name: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in project.data.glob("*.parquet")
    }


def write_images(folder: Path, number: int, seed: int = 0) -> None:
    folder.mkdir(parents=True)
    for row, pixels in enumerate(np.random.default_rng(seed).integers(0, 255, (number, 8, 8), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{row:04d}.png")


def test_a_thousand_images_touch_no_old_shard(project: Project):
    first = project.prepare()
    before = shard_states(project)
    write_images(project.root / "more" / "bag", 1000)
    added = add(project)
    assert (added.name, added.n_added, added.n_duplicate, added.n_quarantined) == ("added-0001-more", 1000, 0, 0)
    after = shard_states(project)
    assert before.items() <= after.items()
    assert set(after) - set(before) == set(added.shards)
    second = project.prepare()
    assert (second.digest, second.size) == (added.digest, first.size + 1000)
    assert second.reason.startswith("reused")
    assert shard_states(project) == after


def test_what_is_there_already_is_counted_and_not_added_again(project: Project):
    project.prepare()
    shutil.copytree(ASSETS / "bag", project.root / "more" / "bag")
    digest = list_dataset(project.data).digest
    assert add(project) == BatchAdded("added-0001-more", 0, 30, 0, (), digest)
    assert [batch.name for batch in list_dataset(project.data).batches] == ["image_folder"]
    shutil.copy(min((ASSETS / "shirt").iterdir()), project.root / "more" / "bag" / "new.png")
    (project.root / "more" / "bag" / "bad.png").touch()
    project.set(max_quarantined_share=0.5)
    added = add(project)
    assert (added.n_added, added.n_duplicate, added.n_quarantined) == (1, 30, 1)


def test_added_batches_survive_a_changed_source_and_changed_rules(project: Project):
    project.prepare()
    shutil.copytree(ASSETS / "shirt", project.root / "more" / "shirt")
    add(project)
    shutil.rmtree(project.root / "more")
    min(project.images.rglob("*.png")).unlink()
    dataset = project.prepare()
    assert dataset.reason == "packed image_folder: new or changed, added-0001-more unchanged and reused"
    assert dataset.size == 89 + 30
    project.set(validation_share=0.4)
    again = project.prepare()
    assert again.size == 89 + 30
    assert sum(again.counts["validation"]) > sum(dataset.counts["validation"])
    shirt = again.classes.index("shirt")
    assert again.counts["validation"][shirt] > dataset.counts["validation"][shirt]


def test_a_batch_that_spoils_the_dataset_is_not_added(project: Project):
    digest = project.prepare().digest
    before = shard_states(project)
    write_images(project.root / "more" / "BAG", 30)
    with pytest.raises(DataError, match=r"one label in two spellings: 'bag' .* and 'BAG'"):
        add(project)
    assert list_dataset(project.data).digest == digest
    assert shard_states(project) == before


def test_without_a_dataset_nothing_can_be_added(project: Project):
    write_images(project.root / "more" / "bag", 3)
    with pytest.raises(DataError, match="holds no packed dataset: run `evergreen run`"):
        add(project)


def test_a_lost_manifest_does_not_cost_added_images(project: Project):
    project.prepare()
    write_images(project.root / "more" / "bag", 30)
    add(project)
    (project.data / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"shards of added batches .*move the folder away.* `evergreen data restore`"):
        project.prepare()
    assert list(project.data.glob("added-*"))


def test_a_lost_shard_of_an_added_batch_is_named(project: Project):
    project.prepare()
    write_images(project.root / "more" / "bag", 30)
    (project.data / add(project).shards[0]).unlink()
    with pytest.raises(DataError, match="lost shards of 'added-0001-more', which no source has: move the folder"):
        project.prepare()


def test_parquet_is_told_from_its_name(project: Project):
    project.prepare()
    files = sorted((ASSETS / "shirt").iterdir())
    table = pa.table({"image": [file.read_bytes() for file in files], "label": ["shirt"] * len(files)})
    pq.write_table(table, project.root / "Shirts, new.parquet")
    added = add(project, "Shirts, new.parquet")
    assert (added.name, added.n_added) == ("added-0001-shirts-new-parquet", 30)
