"""A project of a few real images: the shipped settings, shrunk, in a temporary folder."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.data.dataset import Dataset
from tasks.data.prepare_dataset import prepare_dataset
from tasks.data.sources import Report, report_nothing
from tasks.settings import DataSettings, SourceSettings, load_settings

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "tests" / "assets" / "fashion"  # 300 real test images, 30 of each class


@dataclass
class Project:
    """A project's folder with its home, settings and source folder `images`."""

    root: Path
    settings: DataSettings

    @property
    def home(self) -> Path:
        return self.root / ".evergreen"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def images(self) -> Path:
        return self.root / "images"

    def set(self, **values: object) -> None:
        self.settings = self.settings.model_copy(update=values)

    def prepare(self, report: Report = report_nothing) -> Dataset:
        return prepare_dataset(self.settings, root=self.root, home=self.home, report=report)

    def shard_times(self) -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in self.data.glob("*.parquet")}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose only source is the folder `images`, with three classes of 30 images."""
    return make_project(tmp_path / "project", classes=("bag", "coat", "dress"))


def make_project(root: Path, *, classes: tuple[str, ...]) -> Project:
    shutil.copytree(ROOT / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    shutil.copy(ROOT / ".dvcignore", root)
    for name in classes:
        shutil.copytree(ASSETS / name, root / "images" / name)
    settings = load_settings(ROOT / "evergreen.toml").data
    shrunk = {
        "sources": (SourceSettings(kind="image_folder", location="images"),),
        "min_images_per_class": 5,
        "shard_bytes": 20_000,
    }
    return Project(root, settings.model_copy(update=shrunk))
