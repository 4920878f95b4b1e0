"""Scores: what a module answers for every image of a split, and the file that keeps it.

The file is kept with each run, so that any verdict can be computed again without the model.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from serving.bundle.durable import replacing
from serving.bundle.module import load_module
from tasks.data.dataset import PixelMap, Split
from tasks.data.pixels import open_pixels
from tasks.errors import DataError

PREDICTIONS = "predictions.parquet"
NO_CLASS = ""  # the prediction where a probability is not a finite number: always wrong


@dataclass(frozen=True, eq=False)
class Scores:
    """A model's answers for the N images of one split.

    ids (N,) str, the images' SHA-256; labels (N,) str, the true classes' names; probabilities (N, K) float32,
    one column for each of `classes`, the classes that this model knows.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.str_]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    split: str

    def __post_init__(self) -> None:
        expected = (len(self.ids), len(self.classes))
        if self.probabilities.shape != expected or len(self.labels) != len(self.ids):
            raise DataError(
                f"scores of {len(self.ids)} images have {len(self.labels)} labels and probabilities of shape"
                f" {self.probabilities.shape}; expected {len(self.ids)} labels and {expected}"
            )

    @cached_property
    def predicted(self) -> NDArray[np.str_]:
        """The most probable class's name for each image, (N,)."""
        if not len(self.ids):
            return np.empty(0, dtype=np.str_)
        names = np.asarray(self.classes, dtype=np.str_)[self.probabilities.argmax(axis=1)]
        return np.where(np.isfinite(self.probabilities).all(axis=1), names, NO_CLASS)

    @cached_property
    def label_indices(self) -> NDArray[np.int64]:
        """The true classes as columns of `probabilities`, (N,); -1 where the model does not know the class."""
        columns = {name: column for column, name in enumerate(self.classes)}
        return np.array([columns.get(str(label), -1) for label in self.labels], dtype=np.int64)


def score_module(
    module_path: Path, images: NDArray[np.uint8], *, batch: int = 512
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the probabilities (N, K) and embeddings (N, E) of a TorchScript module for (N, C, S, S) uint8 images.

    On the CPU, as a server does it, with the threads that the process has: set them before.
    """
    return answer_batches(load_module(module_path), images, batch=batch)


def answer_batches(
    module: torch.nn.Module, images: NDArray[np.uint8], *, batch: int = 512
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what `module` answers for (N, C, S, S) uint8 images: probabilities (N, K), embeddings (N, E)."""
    answers: list[tuple[torch.Tensor, torch.Tensor]] = []
    with torch.inference_mode():
        for start in range(0, max(len(images), 1), batch):  # no images: one empty batch has the right shapes
            pixels = torch.from_numpy(np.array(images[start : start + batch]))  # a copy: memory maps are read-only
            answers.append(module(pixels))
        probabilities, embeddings = (torch.cat(parts).numpy() for parts in zip(*answers, strict=True))
    return probabilities, embeddings


def score_split(module_path: Path, classes: tuple[str, ...], pixels: PixelMap, *, split: Split) -> Scores:
    """Return a module's scores on one split; `classes` are the module's own, by its contract."""
    arrays = open_pixels(pixels, split)
    probabilities, _ = score_module(module_path, arrays.images)
    names = np.asarray(pixels.classes, dtype=np.str_)
    return Scores(arrays.ids.astype(np.str_), names[arrays.labels], classes, probabilities, split.name.lower())


def write_predictions(scores: Scores, path: Path) -> None:
    """Write one row an image: id, label, split, probabilities; the classes stand in the schema's metadata."""
    columns = {
        "id": pa.array(scores.ids.tolist(), pa.string()),
        "label": pa.array(scores.labels.tolist(), pa.string()).dictionary_encode(),
        "split": pa.array([scores.split] * len(scores.ids), pa.string()).dictionary_encode(),
        "probabilities": pa.FixedSizeListArray.from_arrays(
            pa.array(scores.probabilities.ravel(), pa.float32()), len(scores.classes)
        ),
    }
    table = pa.table(columns).replace_schema_metadata({"classes": json.dumps(scores.classes)})
    with replacing(path) as draft:
        pq.write_table(table, draft, compression="zstd")


def read_predictions(path: Path) -> Scores:
    """Read what `write_predictions` wrote.

    Raises:
        DataError: no such file, not Parquet, or not of this shape.
    """
    try:
        table = pq.read_table(path).combine_chunks()
        classes = tuple(json.loads(table.schema.metadata[b"classes"]))
        splits = set(table["split"].to_pylist())
        probabilities = table["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        ids, labels = (np.asarray(table[name].to_pylist(), dtype=np.str_) for name in ("id", "label"))
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path} holds no predictions: {error}; score the model again") from error
    if len(splits) > 1:
        raise DataError(f"{path} mixes the splits {sorted(splits)}; expected one")
    split = splits.pop() if splits else ""
    return Scores(ids, labels, classes, probabilities.reshape(len(ids), len(classes)), split)
