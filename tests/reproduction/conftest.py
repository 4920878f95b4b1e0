"""A small clone that made two versions, and a second clone with a home of its own that never saw them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.registry.origin import Origin, read_origin
from tasks.registry.registry import Registry
from tests.e2e.project import copy_files
from tests.repositories import commit_all

TIMEOUT_S = 300
MODEL = "fashion-mnist"


@dataclass(frozen=True)
class Clone:
    """A clone of the project at `root`, and the MLflow that both clones use."""

    root: Path
    tracking_uri: str

    @property
    def home(self) -> Path:
        return self.root.with_name(f"{self.root.name}-home")

    @property
    def registry(self) -> Registry:
        """The registered model with the versions."""
        return Registry(self.tracking_uri, MODEL)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process that runs this clone's code on a few images for one epoch."""
        sources = [{"kind": "image_folder", "location": "tests/assets/fashion", "name": "photos"}]
        return {
            **os.environ,
            "PYTHONPATH": str(self.root),
            "EVERGREEN_HOME": str(self.home),
            "EVERGREEN_DATA__SOURCES": json.dumps(sources),
            "EVERGREEN_DATA__MIN_IMAGES_PER_CLASS": "5",
            "EVERGREEN_TRAINING__EPOCHS": "1",
            "EVERGREEN_TRAINING__BATCH_SIZE": "32",
        }

    def run(self, *arguments: str, expect: int = 0, **variables: str) -> str:
        """Run python in this clone, check how it ends, and return what it printed on stdout."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == expect, f"{arguments} ended {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def evergreen(self, *words: str, expect: int = 0, **variables: str) -> str:
        """Run an `evergreen` command with this clone's code."""
        code = "from flows.cli import main; main()"
        return self.run("-c", code, *words, expect=expect, **variables)


@pytest.fixture(scope="session")
def maker(tmp_path_factory) -> Clone:
    """The clone that made the versions; its working tree is not clean."""
    folder = tmp_path_factory.mktemp("reproduction")
    root = folder / "maker"
    root.mkdir()
    copy_files(root)
    (root / "data.dvc").unlink()  # the pinned baseline is of the full dataset
    commit_all(root)
    clone = Clone(root, f"sqlite:///{folder / 'mlflow.db'}")
    variables = {"MLFLOW_TRACKING_URI": clone.tracking_uri}
    clone.run("-m", "tests.reproduction.train_versions", (folder / "artifacts").as_uri(), **variables)
    return clone


@pytest.fixture(scope="session")
def other(maker, tmp_path_factory) -> Clone:
    """A fresh clone of it that has no data, no runs and another home."""
    root = tmp_path_factory.mktemp("other") / "other"
    subprocess.run(["git", "clone", "--quiet", maker.root, root], check=True)
    assert not (root / "tasks/training/secret.py").exists()
    return Clone(root, maker.tracking_uri)


@pytest.fixture(scope="session")
def origin(maker, tmp_path_factory) -> Origin:
    """What is recorded of version 1."""
    return read_origin(maker.registry, 1, tmp_path_factory.mktemp("origin"))
