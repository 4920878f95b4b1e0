"""What a model says of images. Apart from the model, so that the routes need no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


class ModelError(RuntimeError):
    """The model failed, or answered with something that is no probability."""


class NoMemoryError(ModelError):
    """The device has no memory for one image alone."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answers for N images: `probabilities` (N, K) float32, `embeddings` (N, E) float32."""

    probabilities: npt.NDArray[np.float32]
    embeddings: npt.NDArray[np.float32]

    @property
    def is_finite(self) -> bool:
        """Whether every number in it is one."""
        return bool(np.isfinite(self.probabilities).all() and np.isfinite(self.embeddings).all())


def join_predictions(parts: Sequence[Prediction]) -> Prediction:
    """Return the answers of several batches as one, in their order; at least one part."""
    if len(parts) == 1:
        return parts[0]
    return Prediction(
        np.concatenate([part.probabilities for part in parts]), np.concatenate([part.embeddings for part in parts])
    )


def split_prediction(joint: Prediction, counts: Sequence[int]) -> list[Prediction]:
    """Return the answers to the first `counts[0]` images, to the next `counts[1]`, and so on; views, not copies."""
    parts, start = [], 0
    for count in counts:
        end = start + count
        parts.append(Prediction(joint.probabilities[start:end], joint.embeddings[start:end]))
        start = end
    return parts
