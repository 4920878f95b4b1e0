"""The averaged network's loss and accuracy on the validation images, once per epoch."""

import torch
from torch import nn
from torch.nn import functional

from tasks.training.feed import in_order
from tasks.training.pixels import Pixels
from tasks.training.spec import TrainingSpec

# A batch, in training batches: without gradients it takes less memory than one of them. A GPU starts fewer kernels so;
# a CPU keeps its caches warm: 1,000 images at once take twice as long there as 100 (benchmarks/RESULTS.md).
BATCHES_AT_ONCE = {"cpu": 1, "cuda": 4}


@torch.inference_mode()
def evaluate(classifier: nn.Module, pixels: Pixels, spec: TrainingSpec, device: torch.device) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy over `pixels`; the only wait for the device is at the end."""
    classifier.eval()
    loss = torch.zeros((), device=device)
    right = torch.zeros((), device=device)
    batch = spec.recipe.batch_size * BATCHES_AT_ONCE[device.type]
    for images, labels in in_order(pixels, spec, device, batch):
        logits, _ = classifier(images)
        loss += functional.cross_entropy(logits, labels, reduction="sum")
        right += (logits.argmax(1) == labels).sum()
    return float(loss) / len(pixels), float(right) / len(pixels)
