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

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32) / 255  # of red, green, blue, with white as 255


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


STATISTICS = np.dtype(  # many images' `ImageStatistics`, a row each
    [("brightness", "<f4"), ("contrast", "<f4"), ("sharpness", "<f4"), ("height", "<i4"), ("width", "<i4")]
)


def image_statistics(image: Pixels) -> ImageStatistics:
    """Measure an image (H, W), (H, W, 1) or (H, W, 3) uint8."""
    return ImageStatistics(*measure_images(image[np.newaxis])[0].item())


def measure_images(images: Pixels) -> npt.NDArray[np.void]:
    """Measure images of one shape, (N, H, W), (N, H, W, 1) or (N, H, W, 3) uint8: (N,) of `STATISTICS`.

    An image gets the same figures alone and among others. Takes up to 16 bytes a pixel meanwhile.
    """
    luma = _luma(images)
    rows = luma.reshape(len(luma), -1)
    measured = np.empty(len(luma), STATISTICS)
    measured["brightness"] = rows.mean(axis=1)
    measured["contrast"] = rows.std(axis=1)
    measured["sharpness"] = _laplacian_variance(luma)
    measured["height"], measured["width"] = luma.shape[1:]
    return measured


def _luma(images: Pixels) -> npt.NDArray[np.float32]:
    """Return (N, H, W) float32 in [0, 1], by ITU-R BT.601 as in preprocessing."""
    if images.ndim == 3 or images.shape[3] == 1:
        return images.reshape(images.shape[:3]) * np.float32(1 / 255)
    return np.asarray(images.astype(np.float32) @ _LUMA, dtype=np.float32)


def _laplacian_variance(luma: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return (N,) float32 for (N, H, W)."""
    count, height, width = luma.shape
    if min(height, width) < 3:
        return np.zeros(count, dtype=np.float32)
    around = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1]
    around += luma[:, 1:-1, :-2]
    around += luma[:, 1:-1, 2:]
    around -= 4 * luma[:, 1:-1, 1:-1]
    return np.asarray(around.reshape(count, -1).var(axis=1), dtype=np.float32)
