"""The bundle as MLflow loads it: a model from code, so that nothing is unpickled.

MLflow copies this file beside the bundle and runs it on its own, with the `serving` package that was logged along;
it must import nothing of `tasks`.
"""

from pathlib import Path
from typing import Any

import mlflow.models
import mlflow.pyfunc
import numpy as np
import pandas as pd


class BundleModel(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined, misc]  # defined behind a lazy loader
    """Answers raw images with the served module, so that MLflow and HTTP give the same probabilities."""

    def load_context(self, context: Any) -> None:
        """Load and check the bundle: files, then golden answers."""
        from serving.load_model import load_model  # noqa: PLC0415  found in the logged code, which is there only now

        self.model = load_model(Path(context.artifacts["bundle"]), threads=1)

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> pd.DataFrame:  # noqa: ARG002
        """Classify images.

        Args:
            context: Not used; the bundle is loaded.
            model_input: (N, H, W) or (N, H, W, 3) uint8, or a list of (H, W) or (H, W, 3) uint8 of any sizes.
                MLflow reads the hint: this one is the one that lets images through as they are.
            params: Not used; there are none.

        Returns:
            A DataFrame with a row for each image: `label`, its `probability`, and for each class `probability_CLASS`.
        """
        images = [np.asarray(image) for image in model_input]
        probabilities = self.model.predict(images).probabilities  # (N, K) float32
        classes = self.model.contract.classes
        winners = probabilities.argmax(axis=1)
        table = pd.DataFrame(probabilities, columns=[f"probability_{name}" for name in classes])
        table.insert(0, "label", [classes[winner] for winner in winners])
        table.insert(1, "probability", probabilities.max(axis=1))
        return table


mlflow.models.set_model(BundleModel())
