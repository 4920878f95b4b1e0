"""The prediction record: what is kept of one prediction, by the server's log and by reference.parquet alike.

A leaf without pyarrow: `COLUMNS` says what the columns are, whoever writes Parquet makes them so.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from serving.bundle.decode import Pixels

ColumnType = Literal["timestamp[us, tz=UTC]", "string", "int32", "float32", "list<float32>", "binary"]  # Arrow's


@dataclass(frozen=True)
class Column:
    """One column of a prediction record; `type` is spelled as Arrow does."""

    name: str
    type: ColumnType
    is_nullable: bool = False


COLUMNS = (
    Column("time", "timestamp[us, tz=UTC]", is_nullable=True),  # of the answer; a reference has none
    Column("request_id", "string"),  # in a reference, the image's SHA-256
    Column("index", "int32", is_nullable=True),  # the image's place in its request, from 0; a reference has none
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

IMAGE = Column("image", "binary", is_nullable=True)  # a PNG or JPEG file, where the log keeps images

FEEDBACK_COLUMNS = (
    Column("time", "timestamp[us, tz=UTC]"),  # of the feedback
    Column("request_id", "string"),
    Column("index", "int32"),
    Column("label", "string"),  # as it was sent: no one has asked whether there is such a class
    IMAGE,
)

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32) / 255  # of red, green, blue, with white as 255
_BAND_PIXELS = 1 << 20  # of larger images that are measured at a time


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

    An image gets the same figures alone and among others. Takes up to 16 bytes a pixel meanwhile, and for images of
    more than 2**20 pixels no more than for those.
    """
    measured = np.empty(len(images), STATISTICS)
    measured["height"], measured["width"] = images.shape[1:3]
    if images.shape[1] * images.shape[2] > _BAND_PIXELS:
        figures = np.array([_measure_in_bands(image) for image in images]).T
        measured["brightness"], measured["contrast"], measured["sharpness"] = figures
        return measured
    luma = _luma(images)
    rows = luma.reshape(len(luma), -1)
    measured["brightness"] = rows.mean(axis=1)
    measured["contrast"] = rows.std(axis=1)
    laplacian = _laplacian(luma)
    measured["sharpness"] = laplacian.var(axis=1) if laplacian.size else 0
    return measured


def _measure_in_bands(image: Pixels) -> tuple[float, float, float]:
    """Return brightness, contrast and sharpness of an image, a few of its rows at a time."""
    height, width = image.shape[:2]
    rows = max(1, _BAND_PIXELS // width)
    luma, laplacian = _Moments(), _Moments()
    for start in range(0, height, rows):
        above, below = min(start, 1), min(height - start - rows, 1)  # rows that the Laplacian looks at, too
        band = _luma(image[np.newaxis, start - above : start + rows + max(0, below)])
        luma.add(band[0, above : above + rows])
        laplacian.add(_laplacian(band))
    return luma.mean, math.sqrt(luma.variance), laplacian.variance


class _Moments:
    """Mean and variance of numbers that come in parts."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, part: npt.NDArray[np.float32]) -> None:
        values = part.ravel().astype(np.float64)
        self._count += values.size
        self._sum += float(values.sum())
        self._squares += float(values @ values)

    @property
    def mean(self) -> float:
        return self._sum / self._count if self._count else 0.0

    @property
    def variance(self) -> float:
        return max(0.0, self._squares / self._count - self.mean**2) if self._count else 0.0


def _luma(images: Pixels) -> npt.NDArray[np.float32]:
    """Return (N, H, W) float32 in [0, 1], by ITU-R BT.601 as in preprocessing."""
    if images.ndim == 3 or images.shape[3] == 1:
        return images.reshape(images.shape[:3]) * np.float32(1 / 255)
    return np.asarray(images.astype(np.float32) @ _LUMA, dtype=np.float32)


def _laplacian(luma: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return (N, (H - 2) * (W - 2)) float32 for (N, H, W); nothing where a side is under 3 pixels."""
    count, height, width = luma.shape
    if min(height, width) < 3:
        return np.empty((count, 0), dtype=np.float32)
    around = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1]
    around += luma[:, 1:-1, :-2]
    around += luma[:, 1:-1, 2:]
    around -= 4 * luma[:, 1:-1, 1:-1]
    return around.reshape(count, -1)
