"""`python -m benchmarks.peers.lightning_loop SPEC.json`: the same training by Lightning's Trainer.

Logger, progress bar, checkpoints and model summary are off: they only cost it time here.
"""

import logging
import time
import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.peers.data import TEST, TRAIN, VALIDATION, Batches, Network, accuracy, load, optimize
from benchmarks.peers.events import Steps, begin, end, report
from tasks.training.spec import TrainingSpec
from tasks.training.vision import import_models

import_models()  # torchmetrics, which Lightning imports, imports torchvision: see the door's docstring
logging.getLogger("lightning").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", module="lightning")

import lightning  # noqa: E402  # after the door is open and its chatter off


class Training(lightning.LightningModule):
    """The network with its loss, optimizer and schedule."""

    def __init__(self, spec: TrainingSpec, total_steps: int) -> None:
        super().__init__()
        self.recipe, self.total_steps = spec.recipe, total_steps
        self.network = Network(spec).to(memory_format=torch.channels_last)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002  # Lightning's name
        """Return the loss of one batch."""
        images, labels = batch
        logits = self.network(images.contiguous(memory_format=torch.channels_last))
        return functional.cross_entropy(logits.float(), labels, label_smoothing=self.recipe.label_smoothing)

    def configure_optimizers(self) -> dict[str, Any]:
        """Return the optimizer, and the schedule that moves with each step."""
        optimizer, schedule = optimize(self.network.parameters(), self.recipe, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Reports(lightning.Callback):
    """Reports steps and epochs, and validates after each epoch as the others do."""

    def __init__(self, train: Batches, validation: Batches, spec: TrainingSpec) -> None:
        self.steps = Steps(spec.recipe.epochs * len(train))
        self.images = len(train) * spec.recipe.batch_size
        self.validation = validation
        self.started = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: Training) -> None:  # noqa: ARG002
        """Look at the clock."""
        self.started = time.monotonic()

    def on_train_batch_end(self, *arguments: Any) -> None:  # noqa: ARG002  # trainer, module, outputs, batch, index
        """Count a step."""
        self.steps.count()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Training) -> None:
        """Report the epoch."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        images_per_s = self.images / (time.monotonic() - self.started)
        validation_accuracy = accuracy(pl_module.network, self.validation, pl_module.device)
        pl_module.network.train()
        report(
            "epoch",
            epoch=trainer.current_epoch + 1,
            validation_accuracy=validation_accuracy,
            images_per_s=images_per_s,
        )


def main() -> None:
    """Train, validate after each epoch, and test at the end."""
    spec, device = begin()
    train, validation = load(spec, TRAIN), load(spec, VALIDATION)
    training = Training(spec, spec.recipe.epochs * len(train))
    trainer = lightning.Trainer(
        accelerator=device.type,
        devices=1,
        precision="bf16-mixed" if device.type == "cuda" else "32-true",
        max_epochs=spec.recipe.epochs,
        callbacks=[Reports(train, validation, spec)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(training, train)
    end(accuracy(training.network.to(device), load(spec, TEST), device))


if __name__ == "__main__":
    main()
