"""One step of training: forward, backward, optimizer, average; and the state that goes on from it."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tasks.training.average import Average
from tasks.training.network import Classifier
from tasks.training.schedule import Rates, one_cycle
from tasks.training.spec import TrainingSpec

BETA2 = 0.999  # of AdamW: torch's default


class Stepper:
    """A classifier with its optimizer, schedule and running average, one step after the other."""

    def __init__(
        self, classifier: Classifier, spec: TrainingSpec, *, steps: int, class_weights: Tensor | None = None
    ) -> None:
        self.classifier, self.recipe, self.classes, self.steps = classifier, spec.recipe, len(spec.classes), steps
        self.class_weights = class_weights
        self.device = next(classifier.parameters()).device
        self.done = 0
        trained = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay, fused=True
        )
        self.average = Average(classifier, self.recipe.ema_decay)

    @property
    def averaged(self) -> Classifier:
        """The classifier with averaged weights."""
        return self.average.network  # type: ignore[return-value]

    def rates(self, step: int) -> Rates:
        """Return the learning rate and momentum of `step`, counted from 0."""
        return one_cycle(step, steps=self.steps, peak=self.recipe.learning_rate)

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Train on images (B, C, S, S) uint8 and labels (B,) int64; return the loss, still on the device."""
        rates = self.rates(self.done)
        for group in self.optimizer.param_groups:
            group["lr"], group["betas"] = rates.learning_rate, (rates.beta1, BETA2)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits, _ = self.classifier(images)
        loss = functional.cross_entropy(
            logits.float(), labels, weight=self.class_weights, label_smoothing=self.recipe.label_smoothing
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.average.update(is_first=self.done == 0)
        self.done += 1
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """Return all that the next steps depend on; its tensors are those in use."""
        return {
            "done": self.done,
            "classifier": dict(self.classifier.state_dict()),
            "averaged": dict(self.averaged.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "cpu_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `state`, whose tensors may stand on the CPU: to the bits of a training without a break."""
        self.classifier.load_state_dict(state["classifier"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done = state["done"]
        torch.set_rng_state(state["cpu_rng"])
        if state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)
