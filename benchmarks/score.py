"""The accuracy of a finished training on the test images."""

from pathlib import Path

import numpy as np
import torch

from tasks.data.dataset import Split
from tasks.training.network import load_eager

BATCH = 1000


@torch.inference_mode()
def score(result: Path, pixels: Path) -> float:
    """Return the share of a pixel map's test images whose class the model in `result` finds."""
    chosen = np.load(pixels / "splits.npy") == int(Split.TEST)
    images = torch.from_numpy(np.load(pixels / "images.npy", mmap_mode="r")[chosen])
    labels = torch.from_numpy(np.load(pixels / "labels.npy")[chosen])
    model = load_eager(result)
    found = torch.cat([model(batch)[0].argmax(1) for batch in images.split(BATCH)])
    return float((found == labels).double().mean())
