"""What a model says of images. Apart from the model, so that the routes need no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Prediction:
    """The answers for N images: `probabilities` (N, K) float32, `embeddings` (N, E) float32."""

    probabilities: npt.NDArray[np.float32]
    embeddings: npt.NDArray[np.float32]


def join_predictions(parts: Sequence[Prediction]) -> Prediction:
    """Return the answers of several batches as one, in their order; at least one part."""
    return Prediction(
        np.concatenate([part.probabilities for part in parts]), np.concatenate([part.embeddings for part in parts])
    )
