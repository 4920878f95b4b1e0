"""The model of a bundle, loaded and proven: images in, probabilities and embeddings out. It knows no HTTP."""

import logging
import threading
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from serving.bundle.contract import MODULE, BundleError, Contract, bundle_digest, read_contract, verify_files
from serving.bundle.decode import Pixels
from serving.bundle.golden import check_golden, check_listed
from serving.bundle.module import load_module, optimise_module
from serving.prediction import Prediction, join_predictions

logger = logging.getLogger(__name__)

MAX_BATCH = 64  # images; more are split
_WARM_UP_ROUNDS = 2  # TorchScript profiles a shape at its first call and compiles at its second


class ModelError(RuntimeError):
    """The model answered with something that is no probability."""


class Model:
    """A served model; `predict` may be called from any thread, one call runs at a time."""

    def __init__(self, module: Any, contract: Contract, digest: str, *, max_batch: int, device: str) -> None:
        self.contract = contract
        self.digest = digest
        self._module = module
        self._max_batch = max_batch
        self._device = device
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path, *, threads: int, max_batch: int = MAX_BATCH, device: str = "cpu") -> Self:
        """Load a bundle's module, warm it up and check its golden answers.

        The module is optimised for inference; where that changes an answer by more than the contract's
        tolerance, it is served as it is. `threads` is torch's, for the whole process.

        Raises:
            BundleError: an incomplete or altered bundle, a module that does not do what the contract says,
                or golden answers that differ or are not in the contract.
        """
        contract = read_contract(folder)
        verify_files(folder, contract, served_only=True)
        check_listed(folder, contract)
        torch.set_num_threads(threads)
        digest = bundle_digest(folder)
        module = load_module(folder / MODULE, device)
        try:
            served = cls(optimise_module(module), contract, digest, max_batch=max_batch, device=device)
            served._prove(folder)
        except (BundleError, RuntimeError) as error:  # RuntimeError: TorchScript cannot freeze every module
            served = cls(module, contract, digest, max_batch=max_batch, device=device)
            served._prove(folder)
            logger.warning("serving the module as it is: optimised for inference, %s", error)
        return served

    def predict(self, images: list[Pixels]) -> Prediction:
        """Return the answers for N images (at least one), each (H, W) or (H, W, 3) uint8 of its own size.

        Raises:
            ModelError: an answer is not finite.
        """
        with self._lock, torch.inference_mode():
            parts = [
                self._predict_batch(images[start : start + self._max_batch])
                for start in range(0, len(images), self._max_batch)
            ]
        return join_predictions(parts)

    def _predict_batch(self, images: list[Pixels]) -> Prediction:
        batch = torch.stack([self._module.preprocess(_to_tensor(image)) for image in images])  # (N, C, S, S)
        probabilities, embeddings = self._module(batch.to(self._device))
        answer = Prediction(probabilities.float().cpu().numpy(), embeddings.float().cpu().numpy())
        if not (np.isfinite(answer.probabilities).all() and np.isfinite(answer.embeddings).all()):
            raise ModelError(f"an answer of the model {self.digest[:12]} is not finite")
        return answer

    def _prove(self, folder: Path) -> None:
        """Warm up, then compare shapes with the contract and answers with the golden ones."""
        contract = self.contract
        probe = np.zeros((contract.size_px + 1, contract.size_px, 3), dtype=np.uint8)
        try:
            seen = tuple(self._module.preprocess(_to_tensor(probe)).shape)
            for size in sorted({1, 2, self._max_batch}) * _WARM_UP_ROUNDS:
                answer = self.predict([probe] * size)
        except (ModelError, RuntimeError) as error:
            raise BundleError(f"{folder / MODULE} cannot answer: {error}") from error
        found = (seen, answer.probabilities.shape[1], answer.embeddings.shape[1])
        side = contract.size_px
        expected = ((contract.channels, side, side), len(contract.classes), contract.embedding_size)
        if found != expected:
            raise BundleError(
                f"{folder / MODULE} has (image, classes, embedding) {found}; the contract says {expected}"
            )
        check_golden(folder, lambda images: self.predict(images).probabilities, contract.tolerance)


def _to_tensor(image: Pixels) -> Tensor:
    """Return (C, H, W) uint8 for an image (H, W) or (H, W, C)."""
    writable = image if image.flags.writeable else image.copy()  # torch warns of memory that it might write to
    pixels = torch.from_numpy(writable)
    return pixels.unsqueeze(0) if image.ndim == 2 else pixels.permute(2, 0, 1)
