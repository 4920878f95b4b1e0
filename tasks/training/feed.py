"""The feed: an epoch's batches on the training device, augmented, in the epoch's order.

A batch is a function of (spec, epoch, step): wherever the images are, whoever reads them, and wherever one begins.
"""

from collections.abc import Generator
from contextlib import closing

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tasks.errors import TrainingError
from tasks.training.augment import Augmentation, check_augmentation
from tasks.training.images import open_images
from tasks.training.order import Order, draw_balanced, draw_order
from tasks.training.pixels import Pixels, check_classes
from tasks.training.spec import TrainingSpec
from tasks.training.streamed import Streamed

CPU = torch.device("cpu")
BLOCK_BYTES = 1 << 24  # of the batches that are read and augmented at once on a GPU, where each call costs a launch

Batches = Generator[tuple[Tensor, Tensor], None, None]


class Feed:
    """A training's batches; `steps` full ones in an epoch, `class_weights` (K,) float32 for its loss, or None."""

    def __init__(self, pixels: Pixels, spec: TrainingSpec, device: torch.device) -> None:
        """Open the images.

        Raises:
            ConfigError: the augmentation leaves nothing of an image.
            DataError: a class has no image, or a label no class.
            TrainingError: there are fewer images than a batch takes.
        """
        check_classes(pixels, spec.classes)
        check_augmentation(spec.recipe, spec.size_px)
        self.pixels, self.spec, self.device = pixels, spec, device
        self.batch_size = spec.recipe.batch_size
        self.steps = steps_per_epoch(len(pixels), self.batch_size)
        self.block_steps = choose_block_steps(self.batch_size * pixels.images[0].nbytes, device)
        self.images = open_images(pixels, spec.execution, device)
        self.labels = torch.from_numpy(pixels.labels).to(device)
        self.class_weights: Tensor | None = None
        if spec.recipe.class_balance == "weights":
            self.class_weights = weigh_classes(pixels.labels).to(device)

    def batches(self, epoch: int, first_step: int = 0) -> Batches:
        """Yield images (B, C, S, S) uint8, channels_last, augmented, and labels (B,) int64, from `first_step` on.

        Closing it ends the threads that read: `with closing(feed.batches(epoch)) as batches`.

        Raises:
            DataError: the images cannot be read any more.
        """
        order = self.order(epoch, self.images.rows_device)
        rows = order.images.to(self.device)
        repeats = None if order.repeats is None else order.repeats.to(self.device)
        augmentation = Augmentation(self.spec, epoch, self.device)
        block, end = self.block_steps * self.batch_size, self.steps * self.batch_size
        places = [slice(start, min(start + block, end)) for start in range(first_step * self.batch_size, end, block)]
        with closing(self.images.read(order.images[place] for place in places)) as blocks:
            for place, images in zip(places, blocks, strict=True):
                augmented = augmentation(images, rows[place], None if repeats is None else repeats[place])
                yield from zip(
                    augmented.contiguous(memory_format=torch.channels_last).split(self.batch_size),
                    self.labels.index_select(0, rows[place]).split(self.batch_size),
                    strict=True,
                )

    def order(self, epoch: int, device: torch.device) -> Order:
        """Return which training image stands where in an epoch."""
        if self.spec.recipe.class_balance == "sampler":
            return draw_balanced(self.labels.to(device), seed=self.spec.seed, epoch=epoch)
        return draw_order(len(self.pixels), seed=self.spec.seed, epoch=epoch, device=device)

    def image_ids(self, epoch: int, step: int) -> tuple[str, ...]:
        """Return the SHA-256 of each image of a step's batch, in hex, as the dataset names it."""
        rows = self.order(epoch, CPU).images[step * self.batch_size : (step + 1) * self.batch_size]
        return tuple(name.decode() for name in self.pixels.ids[rows.numpy()].tolist())

    def sample(self, count: int) -> Tensor:
        """Return up to `count` training images, evenly spaced, (M, C, S, S) uint8 on the CPU."""
        size = min(count, len(self.pixels))
        return torch.from_numpy(self.pixels.images[np.arange(size) * len(self.pixels) // size])


def in_order(pixels: Pixels, spec: TrainingSpec, device: torch.device, batch: int) -> Batches:
    """Yield every image as it is, (B, C, S, S) uint8, channels_last, and its label (B,) int64; fewer at the end.

    They are read each time, a few batches ahead: neighbours in a file come as fast as they are needed.

    Raises:
        DataError: the images cannot be read.
    """
    labels = torch.from_numpy(pixels.labels).to(device)
    source = Streamed(pixels, spec.execution.loader_workers, device)
    with closing(source.read(torch.arange(len(pixels)).split(batch))) as blocks:
        for images, some in zip(blocks, labels.split(batch), strict=True):
            yield images.contiguous(memory_format=torch.channels_last), some


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return the full batches in an epoch; the rest of its order is left out, another one each epoch.

    Raises:
        TrainingError: there are fewer images than one batch takes.
    """
    if count < batch_size:
        raise TrainingError(f"{count} training images, fewer than training.batch_size = {batch_size}: lower it")
    return count // batch_size


def choose_block_steps(batch_bytes: int, device: torch.device) -> int:
    """Return how many batches are read and augmented at once: one on the CPU, whose cache holds no more."""
    return 1 if device.type == "cpu" else max(1, BLOCK_BYTES // batch_bytes)


def weigh_classes(labels: npt.NDArray[np.int64]) -> Tensor:
    """Return each class's weight in the loss (K,) float32: its inverse frequency, 1 on average over the images."""
    counts = np.bincount(labels)
    return torch.from_numpy(len(labels) / (len(counts) * counts)).float()
