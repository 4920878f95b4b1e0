"""BentoML as its documentation teaches it: a service with adaptive batching; images are base64 in JSON.

Source: https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html
"""

import base64

import bentoml
import numpy as np

from benchmarks.served.peers.prepared import IS_BATCHING, MAX_BATCH, WORKERS, Prepared, describe, to_image


@bentoml.service(workers=WORKERS, traffic={"timeout": 60})
class Classifier:
    """Answers with the most probable class."""

    def __init__(self) -> None:
        self.prepared = Prepared()

    @bentoml.api(batchable=IS_BATCHING, max_batch_size=MAX_BATCH, max_latency_ms=60_000)
    def predict(self, images: list[str]) -> list[dict[str, float]]:
        """Answer images, each its raw bytes in base64."""
        batch = np.stack([to_image(base64.b64decode(image)) for image in images])
        return [describe(row) for row in self.prepared.predict(batch)]
