"""LitServe as its documentation teaches it: four methods and batches; the body is raw bytes.

Source: https://lightning.ai/docs/litserve/features/batching
"""

from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Body

from benchmarks.served.peers.prepared import DEVICE, IS_BATCHING, MAX_BATCH, PORT, WORKERS, Prepared, describe, to_image


class Classifier(litserve.LitAPI):
    """Answers with the most probable class."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - its signature
        """Load the module, in each worker."""
        self.prepared = Prepared()

    def decode_request(self, request: Annotated[bytes, Body(media_type="application/octet-stream")]) -> np.ndarray:
        """Return the image."""
        return to_image(request)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the probabilities (K,)."""
        return self.prepared.predict(x[None])[0]

    def encode_response(self, output: np.ndarray) -> Any:
        """Return the answer."""
        return describe(output)


class Batched(Classifier):
    """The same for several images at once."""

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Return one array of all images."""
        return np.stack(inputs)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the probabilities (N, K)."""
        return self.prepared.predict(x)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        """Return each image's probabilities."""
        return list(output)


if __name__ == "__main__":
    server = litserve.LitServer(
        Batched(max_batch_size=MAX_BATCH) if IS_BATCHING else Classifier(),
        accelerator="cuda" if DEVICE == "cuda" else "cpu",
        devices=1,
        workers_per_device=WORKERS,
        fast_queue=IS_BATCHING,  # ZeroMQ: faster here, at 1, 16 and 64 connections
    )
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning")
