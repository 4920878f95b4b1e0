"""Real images of Fashion-MNIST spread over five sources of four kinds, none in two of them."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tasks.data.dataset import Split
from tasks.data.sources.addresses import open_address
from tasks.data.sources.fashion_mnist import CLASSES
from tasks.data.sources.idx import find_pairs, read_pair

TURNED = ("Ankle boot", "Bag")  # upside down they are classes of their own, which IDX can only number
FOLDERS = {"shoes": ("Sandal", "Sneaker", "Ankle boot"), "tops": ("Pullover", "Coat", "Dress")}


@dataclass(frozen=True)
class Photo:
    """A real image (28, 28) uint8 and its class."""

    pixels: np.ndarray
    label: str


def read_photos(fashion_mnist: Path, *, skip: int) -> Iterator[Photo]:
    """Yield the images of the training file after the first `skip`."""
    address = open_address(str(fashion_mnist), fashion_mnist)
    (pair,) = [pair for pair in find_pairs(address) if pair.split is Split.TRAIN]
    for number, image in enumerate(read_pair(address, pair, dict(enumerate(CLASSES)))):
        if number >= skip:
            yield Photo(image.data, image.label)


def write_idx(folder: Path, photos: Iterator[Photo], each: int) -> None:
    """Write `each` images of two classes, upside down, as an IDX folder: their labels are 0 and 1."""
    chosen = {label: take(photos, (label,), each) for label in TURNED}
    images = np.stack([photo.pixels[::-1] for of_class in chosen.values() for photo in of_class])
    labels = np.repeat(np.arange(len(TURNED), dtype=np.uint8), each)
    folder.mkdir()
    header = np.array([0x0803, len(images), 28, 28], ">u4").tobytes()
    (folder / "train-images-idx3-ubyte").write_bytes(header + images.tobytes())
    (folder / "train-labels-idx1-ubyte").write_bytes(
        np.array([0x0801, len(labels)], ">u4").tobytes() + labels.tobytes()
    )


def write_folder(folder: Path, photos: Iterator[Photo], labels: tuple[str, ...], count: int) -> None:
    """Write images as PNG files, a folder for each class."""
    for number, photo in enumerate(take(photos, labels, count)):
        (folder / photo.label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo.pixels).save(folder / photo.label / f"{number}.png")


def write_parquet(path: Path, photos: Iterator[Photo], count: int) -> None:
    """Write images of every class as a Parquet file, JPEG by JPEG."""
    rows = []
    for photo in take(photos, CLASSES, count):
        stream = io.BytesIO()
        Image.fromarray(photo.pixels).save(stream, "JPEG", quality=95)
        rows.append({"image": stream.getvalue(), "label": photo.label})
    pq.write_table(pa.Table.from_pylist(rows), path)


def take(photos: Iterator[Photo], labels: tuple[str, ...], count: int) -> list[Photo]:
    """Return the next `count` images of these classes."""
    found: list[Photo] = []
    while len(found) < count:
        photo = next(photos)
        if photo.label in labels:
            found.append(photo)
    return found
