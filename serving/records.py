"""The prediction record: what is kept of one prediction, by the server's log and by reference.parquet alike.

A leaf without pyarrow: `COLUMNS` says what the columns are, whoever writes Parquet makes them so.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from serving.bundle.decode import Pixels

ColumnType = Literal["timestamp[us, tz=UTC]", "string", "int32", "float32", "list<float32>"]  # Arrow's spelling


@dataclass(frozen=True)
class Column:
    """One column of a prediction record; `type` is spelled as Arrow does."""

    name: str
    type: ColumnType
    is_nullable: bool = False


COLUMNS = (
    Column("time", "timestamp[us, tz=UTC]", is_nullable=True),  # of the answer; a reference has none
    Column("request_id", "string"),  # in a reference, the image's SHA-256
    Column("model_version", "string", is_nullable=True),  # a reference is written before there is one
    Column("predicted_class", "string"),  # a class's name
    Column("label", "string", is_nullable=True),  # the true class's name, where it is known
    Column("confidence", "float32"),  # the predicted class's probability, in [0, 1]
    Column("embedding", "list<float32>"),  # of the contract's embedding_size
    Column("brightness", "float32"),
    Column("contrast", "float32"),
    Column("sharpness", "float32"),
    Column("height", "int32"),  # pixels, as sent
    Column("width", "int32"),
)


@dataclass(frozen=True)
class ImageStatistics:
    """What drifts when cameras and light do, measured on an image as sent, before preprocessing.

    `brightness` is the mean of the luma and `contrast` its standard deviation, both with white as 1;
    `sharpness` is the variance of its Laplacian (0 where an image is under 3 x 3 pixels).
    """

    brightness: float
    contrast: float
    sharpness: float
    height: int
    width: int


def image_statistics(image: Pixels) -> ImageStatistics:
    """Measure an image (H, W), (H, W, 1) or (H, W, 3) uint8."""
    luma = _luma(image)
    height, width = luma.shape
    return ImageStatistics(
        brightness=float(luma.mean()),
        contrast=float(luma.std()),
        sharpness=_laplacian_variance(luma),
        height=height,
        width=width,
    )


def _luma(image: Pixels) -> npt.NDArray[np.float32]:
    """Return (H, W) float32 in [0, 1], by ITU-R BT.601 as in preprocessing."""
    pixels = image.astype(np.float32) / np.float32(255)
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] == 1:
        return pixels[:, :, 0]
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.asarray(pixels @ weights, dtype=np.float32)


def _laplacian_variance(luma: npt.NDArray[np.float32]) -> float:
    if min(luma.shape) < 3:
        return 0.0
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float((around - 4 * luma[1:-1, 1:-1]).var())
