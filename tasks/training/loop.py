"""The training loop: from the first step, or a checkpoint, to the last, without a wait for the device in an epoch."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from tasks.errors import TrainingError, TrainingStopped
from tasks.training.checkpoint import Checkpoint
from tasks.training.checkpoint_writer import CheckpointWriter, NotFiniteError
from tasks.training.divergence import check_losses, describe_images
from tasks.training.events import Report
from tasks.training.feed import Feed
from tasks.training.network import Classifier
from tasks.training.step import Stepper
from tasks.training.stop import Stop

REPORT_EVERY_S = 0.5
Validate = Callable[[Classifier], tuple[float, float]]


@dataclass(frozen=True)
class Surroundings:
    """What a loop meets besides its numbers: who listens, who asks it to stop, where checkpoints go, when it began."""

    report: Report
    stop: Stop
    checkpoints: CheckpointWriter
    started: float  # time.monotonic()


class Loop:
    """One training; `epochs` are the events of those that are finished, `seconds` those of all attempts."""

    def __init__(self, stepper: Stepper, feed: Feed, validate: Validate, around: Surroundings) -> None:
        self.stepper, self.feed, self.validate, self.around = stepper, feed, validate, around
        self.losses = torch.zeros(feed.steps, device=stepper.device)  # of the epoch, filled step by step
        self.epochs: list[dict[str, Any]] = []
        self.earlier_s = 0.0
        self.told = 0.0

    @property
    def seconds(self) -> float:
        """What the training took so far, over all attempts."""
        return self.earlier_s + time.monotonic() - self.around.started

    @property
    def step_of_epoch(self) -> int:
        """How many steps of the unfinished epoch are done."""
        return self.stepper.done - len(self.epochs) * self.feed.steps

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on after a checkpoint, and tell its epochs again."""
        self.stepper.load(checkpoint.state)
        self.losses[: len(checkpoint.losses)] = checkpoint.losses.to(self.losses.device)
        self.earlier_s = checkpoint.seconds
        self.around.checkpoints.newest = checkpoint.step
        self.around.report({"event": "resumed", "step": checkpoint.step, "steps": self.stepper.steps})
        for event in checkpoint.epochs:
            self.finish_epoch(event)

    def run(self) -> None:
        """Train what is left, and judge each epoch.

        Raises:
            TrainingError: a number is not finite, or the loss diverges.
            TrainingStopped: somebody asked it to stop; there is a checkpoint of the last step.
        """
        try:
            while self.stepper.done < self.stepper.steps:
                self.train_epoch()
                self.after_step()
            self.around.checkpoints.finish()
        except NotFiniteError as error:
            self.check()
            raise TrainingError(f"a weight is not finite {self.describe(self.stepper.done)}") from error

    def train_epoch(self) -> None:
        """Train on the batches of the epoch that are still to come."""
        began, first = time.monotonic(), self.step_of_epoch
        self.stepper.classifier.train()
        with closing(self.feed.batches(len(self.epochs), first)) as batches:
            for step, (images, labels) in enumerate(batches, first):
                self.losses[step] = self.stepper.step(images, labels)
                self.tell_step()
                if step + 1 < self.feed.steps:
                    self.after_step()
        self.check()
        count = (self.feed.steps - first) * self.stepper.recipe.batch_size
        self.finish_epoch(self.judge_epoch(count / (time.monotonic() - began)))

    def after_step(self) -> None:
        """Stop where that was asked for; begin a checkpoint where one is due, but for the last step's."""
        self.around.checkpoints.poll()
        if self.stepper.done == self.stepper.steps:
            return
        if self.around.stop.reason:
            self.leave()
        elif self.around.checkpoints.is_due(self.stepper.done):
            self.save()

    def save(self) -> None:
        """Begin a checkpoint of the state after this step."""
        self.around.checkpoints.begin(
            Checkpoint(
                step=self.stepper.done,
                seconds=self.seconds,
                losses=self.losses[: self.step_of_epoch],
                epochs=tuple(self.epochs),
                state=self.stepper.state(),
            )
        )

    def leave(self) -> None:
        """See that there is a checkpoint of this step, and raise TrainingStopped."""
        checkpoints, done = self.around.checkpoints, self.stepper.done
        checkpoints.finish()
        if checkpoints.newest != done:
            self.save()
            checkpoints.finish()
        kept = f"the checkpoint of step {checkpoints.newest} is kept" if checkpoints.newest else "no checkpoint is kept"
        raise TrainingStopped(
            f"training stopped after step {done} of {self.stepper.steps}: {self.around.stop.reason}; {kept}; "
            "start it again to go on"
        )

    def check(self) -> None:
        """Fetch the epoch's losses and check them: the epoch's only wait for the device.

        Raises:
            TrainingError: one is not finite, or they diverge.
        """
        losses, first = self.losses[: self.step_of_epoch].cpu(), len(self.epochs) * self.feed.steps
        check_losses(losses, classes=self.stepper.classes, describe=lambda step: self.describe(first + step + 1))

    def judge_epoch(self, images_per_s: float) -> dict[str, Any]:
        """Validate the averaged weights, and return the epoch's event.

        Raises:
            TrainingError: they do not give a finite loss.
        """
        loss, accuracy = self.validate(self.stepper.averaged)
        if not math.isfinite(loss):
            raise TrainingError(f"the validation loss is {loss} {self.describe(self.stepper.done)}")
        return {
            "event": "epoch",
            "epoch": len(self.epochs) + 1,
            "step": self.stepper.done,
            "train_loss": float(self.losses.double().mean()),
            "validation_loss": loss,
            "validation_accuracy": accuracy,
            "learning_rate": self.stepper.rates(self.stepper.done - 1).learning_rate,
            "images_per_s": images_per_s,
            "time": time.time(),
        }

    def finish_epoch(self, event: dict[str, Any]) -> None:
        """Keep an epoch's event, and tell it."""
        self.epochs.append(event)
        self.around.report(event)

    def tell_step(self) -> None:
        """Report the step about twice a second, from the host's clock: the device is never asked."""
        now, done, steps = time.monotonic(), self.stepper.done, self.stepper.steps
        if now - self.told >= REPORT_EVERY_S or done == steps:
            self.told = now
            self.around.report({"event": "step", "step": done, "steps": steps})

    def describe(self, number: int) -> str:
        """Return where step `number`, from 1, stands, with its learning rate and images, and what to do about it."""
        epoch, step = divmod(number - 1, self.feed.steps)
        images = describe_images(self.feed.image_ids(epoch, step))
        return (
            f"at step {number} of {self.stepper.steps} (epoch {epoch + 1}), "
            f"with a learning rate of {self.stepper.rates(number - 1).learning_rate:.3g}, on the images {images}: "
            f"lower training.learning_rate = {self.stepper.recipe.learning_rate:g}, or look at these images"
        )
