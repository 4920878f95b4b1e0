"""`python -m benchmarks.served.peers.mlflow_save FOLDER`: save the model that `mlflow models serve` is given."""

import sys
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from benchmarks.served.peers import LARGE
from benchmarks.served.peers.prepared import SHAPE

NUMBERS = TensorSpec(np.dtype("uint8"), (-1, *SHAPE))
BYTES = ColSpec(DataType.binary, "image")


def main(folder: str) -> None:
    """Write the model."""
    mlflow.pyfunc.save_model(
        folder,
        python_model=str(Path(__file__).with_name("mlflow_model.py")),
        signature=ModelSignature(Schema([BYTES if np.prod(SHAPE) > LARGE else NUMBERS])),
        pip_requirements=[],
    )


if __name__ == "__main__":
    main(sys.argv[1])
