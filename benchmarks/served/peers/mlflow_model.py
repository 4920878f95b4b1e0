"""A model in MLflow's flavour for any Python code, "models from code": MLflow runs this file when it loads the model.

Source: https://mlflow.org/docs/latest/ml/model/models-from-code
"""

from typing import Any

import mlflow
import numpy as np

from benchmarks.served.peers.prepared import Prepared, to_image


class Classifier(mlflow.pyfunc.PythonModel):
    """Answers with probabilities."""

    def load_context(self, context: Any) -> None:  # noqa: ARG002 - its signature
        """Load the module."""
        self.prepared = Prepared()

    def predict(self, context: Any, model_input: Any, params: Any = None) -> np.ndarray:  # noqa: ARG002
        """Return probabilities (N, K) of a tensor of images, or of a table whose column holds their bytes."""
        if isinstance(model_input, np.ndarray):
            return self.prepared.predict(model_input)
        return self.prepared.predict(np.stack([to_image(body) for body in model_input["image"]]))


mlflow.models.set_model(Classifier())
