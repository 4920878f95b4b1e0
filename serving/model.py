"""The model of a bundle: images in, probabilities and embeddings out. It knows no HTTP; `load_model` makes one."""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from serving.bundle.contract import Contract
from serving.bundle.decode import Pixels
from serving.bundle.golden import GoldenSet
from serving.inputs import Inputs, to_tensor
from serving.prediction import ModelError, NoMemoryError, Prediction, join_predictions, split_prediction

MAX_BATCH = 64  # images; more are split

# TorchScript turns every error into a RuntimeError and keeps the text: of CUDA's allocator, and of the CPU's two.
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")


class Model:
    """A served model; its methods may be called from any thread, one call runs at a time.

    `batch` is how many images it is best given at once: the fewest that cost little more an image than more would.
    """

    def __init__(
        self, module: Any, contract: Contract, digest: str, golden: GoldenSet, *, device: str, batch: int = MAX_BATCH
    ) -> None:
        self.contract = contract
        self.digest = digest
        self.golden = golden
        self.batch = batch
        self.is_fast = False  # whether images of the network's own shape go in as they are: `load_model` proves it
        self._module = module
        self.device = device
        self._lock = threading.Lock()
        self._inputs: Inputs | None = None
        self._stream = torch.cuda.Stream(device) if device != "cpu" else None

    def predict(self, images: Sequence[Pixels]) -> Prediction:
        """Return the answers for N images (at least one), each (H, W) or (H, W, 3) uint8 of its own size.

        Raises:
            ModelError: the module failed, or an answer is not finite.
            NoMemoryError: the device has no memory for one image alone; more are halved until they fit.
        """
        answer = self._predict(images)
        if not answer.is_finite:
            raise self._not_finite()
        return answer

    def predict_each(self, requests: Sequence[Sequence[Pixels]]) -> list[Prediction | ModelError]:
        """Return the answers to several requests' images, computed together.

        An error is that of the request which causes it: where the batch fails, each request is computed alone.
        """
        try:
            joint = self._predict([image for images in requests for image in images])
        except ModelError as error:
            if len(requests) == 1:
                return [error]
            return [outcome for images in requests for outcome in self.predict_each([images])]
        parts = split_prediction(joint, [len(images) for images in requests])
        if joint.is_finite:
            return [*parts]
        return [part if part.is_finite else self._not_finite() for part in parts]

    def check(self) -> None:
        """Ask the golden questions.

        Raises:
            BundleError: an answer differs by more than the contract's tolerance.
            ModelError: there is no answer, or it is not finite.
        """
        self.golden.check(self.predict(self.golden.images).probabilities, self.contract.tolerance)

    def preprocess(self, image: Pixels) -> Tensor:
        """Return (C, S, S) uint8, as the network sees the image (H, W) or (H, W, 3)."""
        prepared: Tensor = self._module.preprocess(to_tensor(image))
        return prepared

    def answer(self, batch: Tensor) -> Prediction:
        """Return the answers, finite or not, for a batch (N, C, S, S) uint8 in main memory, pinned for a GPU."""
        if self._stream is None:
            probabilities, embeddings = self._module(batch)
            return Prediction(probabilities.float().numpy(), embeddings.float().numpy())
        with torch.cuda.stream(self._stream):
            probabilities, embeddings = self._module(batch.to(self.device, non_blocking=True))
            found = torch.cat((probabilities.float(), embeddings.float()), dim=1).cpu().numpy()  # one copy back
        classes = probabilities.shape[1]
        return Prediction(found[:, :classes].copy(), found[:, classes:].copy())

    def _predict(self, images: Sequence[Pixels]) -> Prediction:
        """Return the answers, which may be not finite."""
        with self._lock, torch.inference_mode():
            starts = range(0, len(images), self.batch)
            return join_predictions([self._predict_batch(images[start : start + self.batch]) for start in starts])

    def _predict_batch(self, images: Sequence[Pixels]) -> Prediction:
        if self._inputs is None:
            self._inputs = Inputs(self.contract, self.batch, is_pinned=self._stream is not None)
        try:
            return self.answer(self._inputs.fill(images, self.preprocess, is_fast=self.is_fast))
        except Exception as error:
            if not _is_no_memory(error):
                raise ModelError(f"the module of {self.digest[:12]} failed: {error}") from error
            if len(images) == 1:
                raise NoMemoryError(f"no memory on {self.device} for one image: {error}") from error
        half = len(images) // 2
        return join_predictions([self._predict_batch(part) for part in (images[:half], images[half:])])

    def _not_finite(self) -> ModelError:
        return ModelError(f"an answer of the model {self.digest[:12]} is not finite")


def _is_no_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in text for words in _NO_MEMORY)
