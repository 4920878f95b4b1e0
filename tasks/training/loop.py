"""The training loop: seeded, deterministic, without a wait for the device inside an epoch."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tasks.errors import TrainingError
from tasks.training.augment import augment, plan_epoch
from tasks.training.draws import draw_order
from tasks.training.network import Classifier
from tasks.training.pixels import Pixels
from tasks.training.spec import Recipe, TrainingSpec

Report = Callable[[dict[str, Any]], None]
REPORT_EVERY_S = 0.5
VALIDATION_BATCH = 1000
WARMUP_SHARE = 0.25  # of the steps, before the learning rate falls
MIN_STEPS = 5  # with fewer, a quarter of them is no step, and the schedule has no rise


def fit(classifier: Classifier, train: Pixels, validation: Pixels, spec: TrainingSpec, report: Report) -> Classifier:
    """Train `classifier` in place and return the average of its weights, which is the model.

    Raises:
        TrainingError: there are too few images for the recipe, or the loss of an epoch is not finite.
    """
    recipe = spec.recipe
    steps = steps_per_epoch(len(train), recipe.batch_size)
    check_steps(recipe.epochs * steps, recipe)
    trainer = Trainer(classifier, spec, total_steps=recipe.epochs * steps)
    for epoch in range(recipe.epochs):
        started = time.monotonic()
        progress = Progress(epoch, recipe.epochs, steps, report)
        train_loss = trainer.run_epoch(batches(train, spec, epoch), progress) / steps
        if not math.isfinite(train_loss):
            raise TrainingError(
                f"the loss of epoch {epoch + 1} is {train_loss} at a learning rate up to {recipe.learning_rate}: "
                "lower training.learning_rate"
            )
        images_per_s = steps * recipe.batch_size / (time.monotonic() - started)
        validation_loss, accuracy = evaluate(trainer.averaged, validation)
        report(
            {
                "event": "epoch",
                "epoch": epoch + 1,
                "step": (epoch + 1) * steps,
                "train_loss": train_loss,
                "validation_loss": validation_loss,
                "validation_accuracy": accuracy,
                "learning_rate": trainer.schedule.get_last_lr()[0],
                "images_per_s": images_per_s,
            }
        )
    return trainer.averaged


class Trainer:
    """A classifier with its optimizer, schedule and running average, one step after the other."""

    def __init__(self, classifier: Classifier, spec: TrainingSpec, total_steps: int) -> None:
        recipe = spec.recipe
        self.classifier = classifier
        self.label_smoothing = recipe.label_smoothing
        self.optimizer = torch.optim.AdamW(
            classifier.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, recipe.learning_rate, total_steps=total_steps, pct_start=WARMUP_SHARE
        )
        average = get_ema_multi_avg_fn(recipe.ema_decay)
        self.average = AveragedModel(classifier, multi_avg_fn=average, use_buffers=True)

    @property
    def averaged(self) -> Classifier:
        """The classifier with averaged weights."""
        return self.average.module  # type: ignore[return-value]

    def run_epoch(self, batches: Iterator[tuple[Tensor, Tensor]], progress: "Progress") -> float:
        """Train on every batch and return the sum of their losses: the only wait for the device."""
        self.classifier.train()
        loss_sum: Tensor | float = 0.0
        for images, labels in batches:
            loss_sum = loss_sum + self.step(images, labels)
            progress.step()
        return float(loss_sum)

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Train on images (B, C, S, S) uint8 and labels (B,) int64; return the loss, still on the device."""
        device = images.device.type
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits, _ = self.classifier(images)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.classifier)
        return loss.detach()


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return the full batches in an epoch; the rest of its order is left out, another one each epoch.

    Raises:
        TrainingError: there are fewer images than one batch takes.
    """
    if count < batch_size:
        raise TrainingError(f"{count} training images, fewer than training.batch_size = {batch_size}: lower it")
    return count // batch_size


def check_steps(total: int, recipe: Recipe) -> None:
    """Check that the learning rate has room to rise and fall.

    Raises:
        TrainingError: it has not.
    """
    if total < MIN_STEPS:
        raise TrainingError(
            f"training.epochs = {recipe.epochs} with training.batch_size = {recipe.batch_size} are {total} steps, "
            f"expected {MIN_STEPS} or more: raise the epochs or lower the batch size"
        )


def batches(train: Pixels, spec: TrainingSpec, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield an epoch's augmented images (B, C, S, S) uint8 and labels (B,), in the epoch's order."""
    recipe, device = spec.recipe, train.images.device
    order = draw_order(len(train), seed=spec.seed, epoch=epoch, device=device)
    plan = plan_epoch(
        len(train), seed=spec.seed, epoch=epoch, flip=recipe.flip, shift_px=recipe.shift_px, device=device
    )
    for start in range(0, len(train) - recipe.batch_size + 1, recipe.batch_size):
        rows = order[start : start + recipe.batch_size]
        images = augment(train.images[rows], rows, plan)
        yield images.contiguous(memory_format=torch.channels_last), train.labels[rows]


@torch.inference_mode()
def evaluate(classifier: nn.Module, pixels: Pixels) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy over `pixels`."""
    classifier.eval()
    loss = torch.zeros((), device=pixels.images.device)
    right = torch.zeros((), device=pixels.images.device)
    batches_of = zip(pixels.images.split(VALIDATION_BATCH), pixels.labels.split(VALIDATION_BATCH), strict=True)
    for images, labels in batches_of:
        logits, _ = classifier(images.contiguous(memory_format=torch.channels_last))
        loss += functional.cross_entropy(logits, labels, reduction="sum")
        right += (logits.argmax(1) == labels).sum()
    return float(loss) / len(pixels), float(right) / len(pixels)


class Progress:
    """Reports steps about twice a second, from the host's clock: the device is never asked."""

    def __init__(self, epoch: int, epochs: int, steps: int, report: Report) -> None:
        self.done, self.total = epoch * steps, epochs * steps
        self.report = report
        self.last = 0.0

    def step(self) -> None:
        """Count one step."""
        self.done += 1
        now = time.monotonic()
        if now - self.last >= REPORT_EVERY_S or self.done == self.total:
            self.last = now
            self.report({"event": "step", "step": self.done, "steps": self.total})
