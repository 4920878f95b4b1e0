"""The reference: validation predictions, in the columns of the prediction log, that drift compares with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from serving.records import COLUMNS, STATISTICS
from tasks.data.record_schema import make_schema

MAX_ROWS = 5_000  # a two-sample test on more rows finds differences that matter to no one


@dataclass(frozen=True, eq=False)
class ReferencePredictions:
    """What the model said of N validation images: ids and labels (N,) str, (N, K) probabilities, (N, E) embeddings."""

    ids: NDArray[np.str_]
    labels: NDArray[np.str_]
    probabilities: NDArray[np.float32]
    embeddings: NDArray[np.float32]


def choose_rows(n: int, *, limit: int = MAX_ROWS) -> NDArray[np.intp]:
    """Return at most `limit` of `n` rows, evenly spread: rows are sorted by SHA-256, so that is a random sample."""
    return np.linspace(0, n - 1, min(n, limit)).round().astype(np.intp)


def write_reference(
    path: Path, predictions: ReferencePredictions, statistics: NDArray[np.void], classes: Sequence[str]
) -> None:
    """Write the reference; `statistics`, (N,) of `STATISTICS`, are of the same images, in the same order."""
    names = np.asarray(classes, dtype=np.str_)
    values = {
        "time": [None] * len(predictions.ids),
        "request_id": predictions.ids.tolist(),
        "index": [None] * len(predictions.ids),
        "model_version": [None] * len(predictions.ids),
        "predicted_class": names[predictions.probabilities.argmax(axis=1)].tolist(),
        "label": predictions.labels.tolist(),
        "confidence": predictions.probabilities.max(axis=1),
        "embedding": list(predictions.embeddings),
        **{name: statistics[name] for name in STATISTICS.names or ()},
    }
    schema = make_schema(COLUMNS)
    arrays = [pa.array(values[field.name], field.type) for field in schema]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, compression="zstd")
