"""The module that every peer serves, and the image of a request: what its variables say.

For any environment with torch and numpy; it takes nothing of Evergreen's but the code that prepares the module.
"""

import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from serving.bundle.module import load_module, optimise_module

IS_BATCHING = os.environ["SERVED_BATCHING"] == "1"
MAX_BATCH = 64
SHAPE = tuple(int(side) for side in os.environ["SERVED_SHAPE"].split(","))
WORKERS = int(os.environ["SERVED_WORKERS"])
PORT = int(os.environ["SERVED_PORT"])
DEVICE = os.environ["SERVED_DEVICE"]


class Prepared:
    """The module, ready: frozen and optimised where that is faster."""

    def __init__(self) -> None:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        module = load_module(os.environ["SERVED_MODULE"], DEVICE)
        self.module = optimise_module(module) if os.environ["SERVED_OPTIMISED"] == "1" else module

    @torch.inference_mode()
    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities (N, K) of images (N, H, W) or (N, H, W, 3) uint8."""
        batch = torch.from_numpy(images)
        batch = batch.unsqueeze(1) if batch.ndim == 3 else batch.permute(0, 3, 1, 2).contiguous()
        probabilities: Tensor = self.module(batch.to(DEVICE))[0]
        return probabilities.cpu().numpy()


def to_image(body: bytes) -> np.ndarray:
    """Return the image of a request's bytes; a copy, for torch wants to be able to write."""
    return np.frombuffer(body, dtype=np.uint8).reshape(SHAPE).copy()


def describe(probabilities: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Return the answer for one image's probabilities (K,)."""
    best = int(np.argmax(probabilities))
    return {"class": best, "probability": float(probabilities[best])}
