"""Five sources of four kinds, three candidates, one winner that answers over HTTP: all on real images."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import shrink
from tests.e2e.project import SOURCE, Project, copy_project
from tests.e2e.sources import FOLDERS, read_photos, write_folder, write_idx, write_parquet

TRAIN, TEST = 2000, 800  # images of the fashion-mnist source; the other sources have those that come after them
CANDIDATES = [
    {"name": "small", "epochs": 3},
    {"name": "brief", "epochs": 1, "batch_size": 256},
    {"name": "shuffle", "architecture": "shufflenet_v2_x0_5", "epochs": 1},
]
# The kind holds its files to the SHA-256 of Fashion-MNIST's; here, to those of its first images.
FEWER_IMAGES = """
import sys
if any(word.endswith("/evergreen") for word in sys.orig_argv):
    from tasks.data.sources import fashion_files
    fashion_files.CONTENTS_SHA256.update({digests!r})
"""


@dataclass(frozen=True)
class Contest:
    """A project with its sources; `path` is the folder whose sitecustomize lets the smaller files pass."""

    project: Project
    path: Path

    def evergreen(self, *words: str) -> str:
        return self.project.evergreen(*words, PYTHONPATH=str(self.path))

    def runs(self) -> list[dict]:
        """Return MLflow's runs, each with its tags and metrics as dicts."""
        url = f"{self.project.mlflow_url}/api/2.0/mlflow/runs/search"
        found = httpx.post(url, json={"experiment_ids": ["1"]}, trust_env=False).raise_for_status().json()["runs"]
        return [
            {**run["info"], **{kind: {item["key"]: item["value"] for item in run["data"].get(kind, [])}
             for kind in ("tags", "metrics")}}
            for run in found
        ]  # fmt: skip


@pytest.fixture(scope="module")
def contest(fashion_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contest]:
    folder = tmp_path_factory.mktemp("contest")
    sources = write_sources(fashion_mnist, folder)
    (folder / "project").mkdir()
    copied = copy_project(folder / "project", folder)
    variables = {
        "EVERGREEN_DATA__SOURCES": json.dumps(sources),
        "EVERGREEN_CANDIDATES": json.dumps(CANDIDATES),
        "EVERGREEN_TRAINING__THREADS": "1",
        "EVERGREEN_GATES__MIN_CLASS_IMAGES": "10",
        "EVERGREEN_GATES__MIN_CLASS_RECALL": "0.01",
    }
    project = replace(copied, variables={**copied.variables, **variables})
    try:
        yield Contest(project, folder)
    finally:
        project.evergreen("down")


def write_sources(fashion_mnist: Path, folder: Path) -> list[dict[str, str]]:
    """Write five sources into `folder` and return their settings; a sitecustomize goes with the first."""
    fashion = folder / "fashion"
    fashion.mkdir()
    for name, count in (("train", TRAIN), ("t10k", TEST)):
        shrink(fashion_mnist, fashion, f"{name}-images-idx3-ubyte.gz", count, header=16, item=784)
        shrink(fashion_mnist, fashion, f"{name}-labels-idx1-ubyte.gz", count, header=8, item=1)
    files = {path.stem: hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest() for path in fashion.iterdir()}
    (folder / "sitecustomize.py").write_text(FEWER_IMAGES.format(digests=files))
    photos = read_photos(fashion_mnist, skip=TRAIN)
    write_idx(folder / "turned", photos, each=250)
    for name, labels in FOLDERS.items():
        write_folder(folder / name, photos, labels, 150)
    write_parquet(folder / "shop.parquet", photos, 400)
    return [
        {"kind": "fashion-mnist", "location": str(fashion)},
        {"kind": "idx", "location": str(folder / "turned")},
        *({"kind": "image_folder", "location": str(folder / name), "name": name} for name in FOLDERS),
        {"kind": "parquet", "location": str(folder / "shop.parquet")},
    ]


def test_the_best_of_three_candidates_on_five_sources_is_deployed(contest: Contest) -> None:
    output = contest.evergreen("run")
    assert "promoted: all" in output
    runs = {run["tags"].get("evergreen.candidate", "parent"): run for run in contest.runs()}
    assert {name: run["status"] for name, run in runs.items()} == dict.fromkeys(
        ["parent", "small", "brief", "shuffle"], "FINISHED"
    )
    parent = runs.pop("parent")
    assert {run["tags"]["mlflow.parentRunId"] for run in runs.values()} == {parent["run_id"]}
    accuracy = {name: parent["metrics"][f"{name}/validation_accuracy"] for name in runs}
    best = max(accuracy, key=lambda name: (accuracy[name], -parent["metrics"][f"{name}/validation_loss"]))
    assert parent["tags"]["evergreen.challenger"] == best
    assert f"{best} {accuracy[best]:.4f} on validation (best)" in output
    assert all(f"\ntrain {name}: " in output for name in runs)
    champion = contest.project.status()["champion"]
    assert champion["version"] == 1
    assert runs[best]["metrics"]["test_accuracy"] == pytest.approx(champion["accuracy"], abs=1e-6)
    assert [name for name, run in runs.items() if "test_accuracy" in run["metrics"]] == [best]


def test_the_data_is_of_all_sources(contest: Contest) -> None:
    lines = contest.evergreen("data", "list").splitlines()
    batches = {line.split()[0]: line for line in lines if " shards: " in line}
    assert {name: line.split()[1].rstrip(",") for name, line in batches.items()} == {
        "fashion-mnist": "fashion-mnist", "idx": "idx", "shoes": "image_folder", "tops": "image_folder",
        "parquet": "parquet",
    }  # fmt: skip
    assert "2,800 images" in batches["fashion-mnist"]


def test_the_winner_knows_photos_that_no_source_had(contest: Contest) -> None:
    photos = [
        next(iter(sorted(folder.glob("*.png")))) for folder in sorted((SOURCE / "tests/assets/fashion").iterdir())
    ]
    right = 0
    for photo in photos:
        answer = contest.project.predict(photo)
        assert answer.headers["x-evergreen-version"] == "1"
        found = answer.json()["predictions"][0]["top_k"][0]["label"]
        right += found.lower().replace("/", "-").replace(" ", "-") == photo.parent.name
    assert right > len(photos) / 2


def test_a_nightly_run_of_the_same_is_nothing_new_and_the_plan_says_so_before(contest: Contest) -> None:
    plan = contest.evergreen("plan", "--scheduled").splitlines()
    assert [line.split()[0] for line in plan if " hit " in line] == [
        "data",
        "pixels",
        *["train"] * 3,
        "evaluate",
        "register",
    ]
    assert "nothing new" in contest.evergreen("run", "--scheduled")
    assert len(contest.runs()) == 4
