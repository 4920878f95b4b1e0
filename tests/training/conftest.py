"""A pixel map of a few hundred real images, and a recipe that trains on it in seconds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


@pytest.fixture(scope="session")
def pixel_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images.npy (N, 1, 28, 28) uint8, labels.npy (N,) int64, splits.npy (N,) uint8: 240 train."""
    paths = [(label, path) for label, name in enumerate(CLASSES) for path in sorted((ASSETS / name).glob("*.png"))]
    assert len(paths) == 300
    folder = tmp_path_factory.mktemp("pixels")
    images = np.stack([np.asarray(Image.open(path).convert("L")) for _, path in paths])
    np.save(folder / "images.npy", images[:, None])
    np.save(folder / "labels.npy", np.array([label for label, _ in paths], dtype=np.int64))
    np.save(folder / "splits.npy", (np.arange(len(paths)) % 5 == 0).astype(np.uint8))
    return folder


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
