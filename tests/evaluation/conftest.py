"""A small real training without its process: 300 images of Fashion-MNIST, a network that has learnt some of them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import cross_entropy

from serving.records import measure_images
from tasks.data.dataset import PixelMap, Split
from tasks.training.network import build_classifier
from tasks.training.result import TrainedModel, weights_sha256, write_result
from tasks.training.spec import Execution, Recipe, TrainingSpec
from tasks.training.trainer import save

ASSETS = Path(__file__).parents[1] / "assets" / "fashion"
CLASSES = tuple(sorted(folder.name for folder in ASSETS.iterdir()))
SIZE_PX = 28
DIGEST = "d" * 64
COUNTS = {Split.TRAIN: 180, Split.VALIDATION: 60, Split.TEST: 60}


@dataclass(frozen=True)
class Trained:
    """What evaluation starts from."""

    model: TrainedModel
    pixels: PixelMap


def read_images():
    """Return the 300 images (N, 1, 28, 28) uint8 of `tests/assets/fashion` and their labels (N,), class by class."""
    files = sorted(ASSETS.glob("*/*.png"))
    images = np.stack([np.asarray(Image.open(file).convert("L"))[None] for file in files])
    return images, np.array([CLASSES.index(file.parent.name) for file in files], dtype=np.int64)


def write_pixels(folder: Path, counts=COUNTS) -> PixelMap:
    """Write a pixel map, sorted by split and id as `tasks.data.pixels` does it."""
    images, labels = read_images()
    chosen = np.random.default_rng(7).permutation(len(labels))[: sum(counts.values())]
    images, labels = images[chosen], labels[chosen]
    splits = np.repeat([int(split) for split in counts], list(counts.values())).astype(np.uint8)
    ids = np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images], dtype="S64")
    order = np.lexsort((labels, ids, splits))
    statistics = measure_images(images[:, 0].repeat(2, axis=1).repeat(2, axis=2))  # as if they had been sent larger
    folder.mkdir(parents=True)
    arrays = {"images": images, "labels": labels, "splits": splits, "ids": ids, "statistics": statistics}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array[order])
    return PixelMap(folder, DIGEST, CLASSES, 1, SIZE_PX)


def train_briefly(pixels: PixelMap, out: Path, *, seed: int, steps: int = 30) -> TrainedModel:
    """Train the built-in network for some steps and leave what a training leaves."""
    recipe = Recipe(
        architecture="small_cnn",
        weights_file="",
        epochs=1,
        batch_size=32,
        learning_rate=0.01,
        weight_decay=0.0,
        label_smoothing=0.0,
        ema_decay=0.0,
        flip=False,
        shift_px=0,
        rotate_degrees=0.0,
        erase_px=0,
        brightness=0.0,
        contrast=0.0,
        class_balance="none",
    )
    execution = Execution(checkpoint_steps=100, loader_workers=1, max_resident_bytes=1_000_000_000)
    spec = TrainingSpec(str(pixels.folder), DIGEST, CLASSES, 1, SIZE_PX, recipe, seed, 2, "cpu", execution)
    is_train = np.load(pixels.folder / "splits.npy") == Split.TRAIN
    images = torch.from_numpy(np.load(pixels.folder / "images.npy")[is_train])
    labels = torch.from_numpy(np.load(pixels.folder / "labels.npy")[is_train])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = build_classifier(spec)
        classifier.mean.fill_(80.0)
        classifier.scale.fill_(1 / 50)
        parameters = list(classifier.parameters())
        for _ in range(steps):  # plain descent: torch.optim takes 15 s to import its compiler
            rows = torch.randint(0, len(labels), (32,))
            loss = cross_entropy(classifier(images[rows])[0], labels[rows])
            with torch.no_grad():
                for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                    parameter.sub_(0.1 * gradient)
    out.mkdir(parents=True)
    (out / "spec.json").write_text(spec.to_json())
    served = save(classifier, spec, out)
    digest = weights_sha256(served.classifier.state_dict())
    size = served.projection.shape[1]
    model = TrainedModel(out, "small_cnn", 1, SIZE_PX, CLASSES, size, digest, seed, 1.0, 0.5, {}, {})
    write_result(model)
    return model


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    pixels = write_pixels(folder / "pixels")
    return Trained(train_briefly(pixels, folder / "model", seed=0), pixels)
