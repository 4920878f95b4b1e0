"""A pixel map of a few hundred real images, and a recipe that trains on it in seconds."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tasks.training.result import TrainedModel
from tasks.training.run import train
from tasks.training.spec import Execution, Recipe, TrainingSpec
from tests.conftest import ROOT

ASSETS = ROOT / "tests" / "assets" / "fashion"
CLASSES = tuple(sorted(path.name for path in ASSETS.iterdir() if path.is_dir()))
RECIPE = Recipe(
    architecture="small_cnn",
    weights_file="",
    epochs=2,
    batch_size=32,
    learning_rate=0.01,
    weight_decay=0.05,
    label_smoothing=0.05,
    ema_decay=0.9,
    flip=True,
    shift_px=1,
    rotate_degrees=0.0,
    erase_px=0,
    brightness=0.0,
    contrast=0.0,
    class_balance="none",
)
EXECUTION = Execution(checkpoint_steps=5, loader_workers=1, max_resident_bytes=1_000_000_000)


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Batches are small here: two threads would wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_map(folder: Path, images: np.ndarray, labels: np.ndarray, splits: np.ndarray) -> Path:
    """Write a map as `tasks.data.pixels` does, sorted by (split, sha256, label), and return its folder.

    images.npy (N, C, S, S) uint8, labels.npy (N,) int64, splits.npy (N,) uint8, ids.npy (N,) S64.
    """
    ids = np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images], dtype="S64")
    order = np.lexsort((labels, ids, splits))
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", images[order].astype(np.uint8))
    np.save(folder / "labels.npy", labels[order].astype(np.int64))
    np.save(folder / "splits.npy", splits[order].astype(np.uint8))
    np.save(folder / "ids.npy", ids[order])
    return folder


@pytest.fixture(scope="session")
def pixel_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of 300 grey images of 28 x 28 pixels and ten classes: 240 train, 60 validation."""
    paths = [(label, path) for label, name in enumerate(CLASSES) for path in sorted((ASSETS / name).glob("*.png"))]
    assert len(paths) == 300
    images = np.stack([np.asarray(Image.open(path).convert("L")) for _, path in paths])[:, None]
    labels = np.array([label for label, _ in paths])
    return write_map(tmp_path_factory.mktemp("pixels"), images, labels, np.arange(len(paths)) % 5 == 0)


@pytest.fixture(scope="session")
def spec(pixel_map: Path) -> TrainingSpec:
    """One training of two short epochs on the CPU."""
    return TrainingSpec(
        pixels=str(pixel_map),
        data_digest="d" * 64,
        classes=CLASSES,
        channels=1,
        size_px=28,
        recipe=RECIPE,
        seed=5,
        threads=1,
        device="cpu",
        execution=EXECUTION,
    )


@pytest.fixture(scope="session")
def trained(spec: TrainingSpec, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, list[dict]]:
    """The training of `spec`, finished without a break, and its events."""
    events: list[dict] = []
    return train(spec, tmp_path_factory.mktemp("trained") / "out", events.append), events
