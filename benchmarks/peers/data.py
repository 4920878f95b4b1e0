"""What the peers have in common: the images as a Dataset with torchvision's transforms, loaders, network, optimizer."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from tasks.training.network import Classifier, adapt_to, build_classifier
from tasks.training.pixels import Rows, open_pixels, pixel_statistics
from tasks.training.spec import Recipe, TrainingSpec
from tasks.training.trainer import SAMPLE
from tasks.training.vision import import_models

WORKERS = 2  # as the goal says; loader processes beside the training process
WARMUP_SHARE = 0.25  # of the steps, as in tasks.training
TRAIN, VALIDATION, TEST = 0, 1, 2  # the values in splits.npy

Batches = DataLoader[tuple[Tensor, int]]


class Images(Dataset[tuple[Tensor, int]]):
    """Images (S, S) or (S, S, 3) uint8 in memory with their labels; each is a Pillow image when it is asked for.

    So do torchvision's own datasets, "so that this is consistent with all other datasets".
    Source: torchvision.datasets.MNIST.__getitem__.
    """

    def __init__(self, folder: Path, split: int, transform: Callable[[Image.Image], Tensor]) -> None:
        chosen = np.load(folder / "splits.npy") == split
        images = np.load(folder / "images.npy", mmap_mode="r")[chosen]  # (N, C, S, S)
        self.images = np.ascontiguousarray(images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1))
        self.labels: list[int] = np.load(folder / "labels.npy")[chosen].tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return one transformed image and its label."""
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


class Network(nn.Module):
    """Evergreen's own network for `spec`, first weights included, without its normalisation: a transform does that."""

    def __init__(self, spec: TrainingSpec) -> None:
        super().__init__()
        classifier = start_classifier(spec)
        self.body, self.head = classifier.body, classifier.head

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K) of normalised images (N, C, S, S)."""
        logits: Tensor = self.head(self.body(images))
        return logits


def start_classifier(spec: TrainingSpec) -> Classifier:
    """Return the classifier with the weights that Evergreen's training starts from."""
    pixels = open_pixels(Path(spec.pixels), Rows.TRAIN)
    classifier = build_classifier(spec)
    mean, scale = pixel_statistics(pixels)
    classifier.mean.copy_(mean)
    classifier.scale.copy_(scale)
    rows = np.arange(SAMPLE) * len(pixels) // SAMPLE
    adapt_to(classifier, torch.from_numpy(pixels.images[rows]))
    return classifier


def load(spec: TrainingSpec, split: int) -> Batches:
    """Return a loader over one split: shuffled, flipped and in full batches for training, else in order."""
    import_models()  # torchvision's door: its import fails beside a CPU-only torch otherwise
    from torchvision.transforms import v2  # noqa: PLC0415

    is_train = split == TRAIN
    mean, deviation = statistics(Path(spec.pixels))
    flip = [v2.RandomHorizontalFlip()] if is_train and spec.recipe.flip else []
    steps = [v2.ToImage(), *flip, v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, deviation)]
    return DataLoader(
        Images(Path(spec.pixels), split, v2.Compose(steps)),
        batch_size=spec.recipe.batch_size if is_train else 1000,
        shuffle=is_train,
        drop_last=is_train,
        num_workers=WORKERS,
        persistent_workers=True,
        pin_memory=torch.cuda.is_available(),
    )


def statistics(folder: Path) -> tuple[list[float], list[float]]:
    """Return each channel's mean and deviation over the training images, as fractions of 255."""
    train = np.load(folder / "images.npy", mmap_mode="r")[np.load(folder / "splits.npy") == TRAIN]
    return (train.mean((0, 2, 3)) / 255).tolist(), (train.std((0, 2, 3)) / 255).tolist()


def optimize(
    parameters: Iterator[nn.Parameter], recipe: Recipe, total_steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return the optimizer and the schedule that Evergreen's loop has."""
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=total_steps, pct_start=WARMUP_SHARE
    )
    return optimizer, schedule


@torch.inference_mode()
def accuracy(network: nn.Module, batches: Batches, device: torch.device) -> float:
    """Return the share of images whose class is found."""
    network.eval()
    right = count = 0
    for images, labels in batches:
        logits = network(images.to(device, memory_format=torch.channels_last, non_blocking=True))
        right += int((logits.argmax(1) == labels.to(device)).sum())
        count += len(labels)
    return right / count
