import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from serving.bundle.decode import decode_image
from tasks.data.index import content_digest, read_kept
from tasks.data.listing import list_dataset
from tasks.data.manifest import read_manifest
from tasks.data.shards import pixels_sha256
from tasks.errors import ConfigError, DataError
from tasks.settings import SourceSettings
from tests.data.conftest import ASSETS, Project, make_project


def test_a_shard_holds_what_the_design_says(project: Project):
    dataset = project.prepare()
    assert dataset.size == 90
    assert dataset.classes == ("bag", "coat", "dress")
    assert len(dataset.shards) > 2, "shard_bytes closes a shard"
    rows = [row for shard in dataset.shards for row in pq.read_table(project.data / shard).to_pylist()]
    assert len(rows) == 90
    for row in rows:
        file = project.images / row["name"]
        assert row["image"] == file.read_bytes()
        assert row["label"] == file.parent.name
        assert row["sha256"] == pixels_sha256(decode_image(row["image"], 10**6))
        assert row["source"] == "image_folder"
        assert row["added_at"].endswith("+00:00")


def test_two_builds_have_the_same_bytes(project: Project, tmp_path):
    first = project.prepare()
    other = make_project(tmp_path / "other", classes=("dress", "coat", "bag"))
    for file in other.images.rglob("*.png"):
        shutil.copystat(project.images / file.relative_to(other.images), file)
    second = other.prepare()
    assert second.digest == first.digest
    assert second.shards == first.shards
    for name in (*first.shards, "manifest.json"):
        assert (other.data / name).read_bytes() == (project.data / name).read_bytes()


def test_the_digest_ignores_file_names_times_and_encoding(project: Project):
    first = project.prepare()
    file = min(project.images.rglob("*.png"))
    Image.open(file).save(file.with_name("renamed.png"), compress_level=0)
    file.unlink()
    second = project.prepare()
    assert second.shards != first.shards
    assert second.digest == first.digest


def test_unchanged_sources_are_reused_and_said_so(project: Project):
    first = project.prepare()
    assert first.reason == "packed image_folder: new or changed"
    times = project.shard_times()
    stages: list[str] = []
    second = project.prepare(lambda stage, done, total: stages.append(stage))
    assert second.reason == "reused: files, rules and shards of image_folder are unchanged"
    assert (second.digest, project.shard_times(), stages) == (first.digest, times, [])


def test_packing_the_same_again_touches_no_shard(project: Project):
    project.prepare()
    times = project.shard_times()
    shutil.rmtree(project.home)
    assert project.prepare().reason.startswith("packed")
    assert project.shard_times() == times


def test_the_digest_is_what_the_design_says(project: Project):
    dataset = project.prepare()
    rows = [row for shard in dataset.shards for row in pq.read_table(project.data / shard).to_pylist()]
    lines = sorted([row["sha256"], row["label"], row["split"]] for row in rows)
    assert {split for _, _, split in lines} == {"train", "validation", "test"}
    assert dataset.digest == hashlib.sha256("".join(f"{json.dumps(line)}\n" for line in lines).encode()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [{"validation_share": 0.3}, {"classes": ("dress", "coat", "bag")}, {"shard_bytes": 10_000}],
    ids=["split", "classes", "shards"],
)
def test_changed_rules_pack_anew(project: Project, change):
    project.prepare()
    project.set(**change)
    assert project.prepare().reason.startswith("packed image_folder")


def test_limits_hold_for_a_reused_dataset_too(project: Project):
    project.prepare()
    project.set(min_images_per_class=1000)
    with pytest.raises(DataError, match="fewer than 1000 training images"):
        project.prepare()


def test_a_changed_source_leaves_the_shards_of_the_others(project: Project):
    other = project.root / "more"
    for name in ("bag", "shirt"):
        shutil.copytree(ASSETS / name, other / name)
    min((other / "bag").iterdir()).unlink()
    both = (*project.settings.sources, SourceSettings(kind="image_folder", location="more", name="more"))
    project.set(sources=both)
    first = project.prepare()
    assert first.size == 90 + 30
    assert first.dropped.keys() <= {"duplicate", "copy of a test image"}
    assert sum(first.dropped.values()) == 29
    mine = {name: time for name, time in project.shard_times().items() if name.startswith("image_folder")}
    next(iter(sorted((other / "shirt").iterdir()))).unlink()
    second = project.prepare()
    assert second.reason == "packed more: new or changed, image_folder unchanged and reused"
    assert second.size == first.size - 1
    assert mine.items() <= project.shard_times().items()
    assert set(project.shard_times()) == set(second.shards), "the old shards of the changed source are swept"


def test_published_test_images_stay_whatever_repeats_them(project: Project):
    shutil.move(project.images, project.root / "train")
    shutil.copytree(project.root / "train", project.images / "train")
    for name in ("bag", "coat", "dress"):
        shutil.copytree(ASSETS / name, project.images / "test" / name)
        copies = sorted((project.images / "test" / name).iterdir())
        for copy in copies[3:]:
            copy.unlink()
        shutil.copy(copies[0], copies[0].with_name("again.png"))
    dataset = project.prepare()
    assert dataset.counts["test"] == (4, 4, 4), "three, and one of them twice"
    assert dataset.dropped == {"copy of a test image": 9}
    assert sum(dataset.counts["validation"]) > 0
    assert sum(dataset.counts["train"]) + sum(dataset.counts["validation"]) == 90 - 9


def test_conflicting_labels_are_quarantined(project: Project):
    project.set(max_quarantined_share=0.1)
    twin = min((project.images / "bag").iterdir())
    shutil.copy(twin, project.images / "coat" / "twin.png")
    dataset = project.prepare()
    assert dataset.quarantined == {"same image under different labels": 2}
    assert dataset.size == 89
    lines = [json.loads(line) for line in (project.home / "quarantine" / "conflicts.jsonl").read_text().splitlines()]
    assert {line["name"] for line in lines} == {f"bag/{twin.name}", "coat/twin.png"}
    project.set(max_quarantined_share=0.0)
    with pytest.raises(DataError, match=r"same image under different labels 2.*conflicts\.jsonl"):
        project.prepare()


def test_the_manifest_says_what_the_shards_hold(project: Project):
    shutil.copy(min((project.images / "bag").iterdir()), project.images / "bag" / "again.png")
    dataset = project.prepare()
    manifest = read_manifest(project.data)
    index = read_kept(project.data, manifest)
    assert content_digest(index) == manifest.digest == dataset.digest
    assert len(index.rows) == dataset.size == 90
    assert len(np.unique(index.sha256)) == 90
    listing = list_dataset(project.data)
    assert (listing.batches[0].n_rows, listing.batches[0].n_excluded) == (91, 1)
    assert listing.size_bytes == sum(path.stat().st_size for path in project.data.glob("*.parquet"))


def test_a_failed_run_leaves_the_old_dataset(project: Project):
    first = project.prepare()
    shutil.copytree(project.images / "bag", project.images / "Bag")
    with pytest.raises(DataError, match=r"'Bag' \(30 images\) and 'bag' \(30 images\)"):
        project.prepare()
    assert list_dataset(project.data).digest == first.digest
    shutil.rmtree(project.images / "Bag")
    assert project.prepare().digest == first.digest
    assert set(project.shard_times()) == set(first.shards)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "a"), "two are called 'a'"),
        (("added-x", "b"), "do not begin with added-"),
        (("a/b", "b"), "'a/b' cannot be a name"),
    ],
)
def test_names_of_sources(project: Project, names, message):
    project.set(sources=[SourceSettings(kind="image_folder", location="images", name=name) for name in names])
    with pytest.raises(ConfigError, match=message):
        project.prepare()


@pytest.mark.parametrize("text", ["{", "{}", '{"format": 7}'], ids=["cut short", "empty", "another format"])
def test_a_damaged_manifest_is_named(project: Project, text):
    project.prepare()
    (project.data / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json"):
        project.prepare()


def test_a_damaged_shard_is_packed_again(project: Project):
    first = project.prepare()
    (project.data / first.shards[0]).write_bytes(b"cut")
    assert project.prepare().digest == first.digest


HOLD_LOCK = """
import sys
from pathlib import Path
from tasks.data.lock import data_lock
with data_lock(Path(sys.argv[1]), lambda *_: None):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_waits_and_names_the_first(project: Project):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(project.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waited: list[str] = []

    def report(stage: str, done: int, total: int) -> None:
        if stage.startswith("wait"):
            waited.append(stage)
            holder.communicate("")

    assert project.prepare(report).size == 90
    assert waited == [f"wait for process {holder.pid}, which packs the data"]
