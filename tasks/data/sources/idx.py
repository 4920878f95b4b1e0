"""The IDX format of MNIST and its kin: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., plain or .gz.

Source: the format's description at http://yann.lecun.com/exdb/mnist/ (big-endian 32-bit header, then bytes).
"""

import gzip
import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from tasks.data.dataset import Split
from tasks.data.sources.addresses import Address, FoundFile, fingerprint, list_files, open_address
from tasks.data.sources.raw import RawImage, Source
from tasks.errors import DataError

PREFIXES = {Split.TRAIN: "train", Split.TEST: "t10k"}
IMAGES = "{}-images-idx3-ubyte"
LABELS = "{}-labels-idx1-ubyte"
IMAGES_MAGIC = 0x0803  # unsigned bytes, 3 dimensions
LABELS_MAGIC = 0x0801
BLOCK = 1000  # images read at once


@dataclass(frozen=True)
class IdxPair:
    """The images and the labels of one split."""

    split: Split
    images: FoundFile
    labels: FoundFile


def open_idx(location: str, name: str, root: Path) -> Source:
    """Return the source of a folder with IDX files; a t10k pair is the published test set, labels are numbers.

    Raises:
        DataError: a file is missing or is not IDX.
    """
    address = open_address(location, root)
    pairs = find_pairs(address)
    files = [file for pair in pairs for file in (pair.images, pair.labels)]
    return Source(
        name=name,
        kind="idx",
        fingerprint=fingerprint(address, files),
        size_bytes=sum(file.size_bytes for file in files),
        n_images=sum(count_images(address, pair) for pair in pairs),
        read=lambda: (image for pair in pairs for image in read_pair(address, pair)),
        publishes=frozenset(pair.split for pair in pairs),
    )


def find_pairs(address: Address) -> list[IdxPair]:
    """Return the splits that a folder holds, train first.

    Raises:
        DataError: no train pair, or images without labels.
    """
    files = {file.relative.removesuffix(".gz").replace(".idx", "-idx"): file for file in list_files(address)}
    pairs = []
    for split, prefix in PREFIXES.items():
        names = [pattern.format(prefix) for pattern in (IMAGES, LABELS)]
        found = [files[name] for name in names if name in files]
        if len(found) == 2:
            pairs.append(IdxPair(split, found[0], found[1]))
        elif found or split is Split.TRAIN:
            missing = next(name for name in names if name not in files)
            raise DataError(f"{address.text} has no {missing}[.gz]: an idx folder holds images and labels of train")
    return pairs


def count_images(address: Address, pair: IdxPair) -> int:
    """Return the number of images that a file's header promises."""
    with _open(address, pair.images) as stream:
        return _read_header(stream, pair.images, IMAGES_MAGIC, n_dimensions=3)[0]


def read_pair(
    address: Address, pair: IdxPair, names: Mapping[int, str] | None = None, added_at: str = ""
) -> Iterator[RawImage]:
    """Yield a split's images as (H, W) uint8, with `names[label]` or the number itself as label.

    Raises:
        DataError: a file is cut short or damaged, or the two have different lengths.
    """
    labels = _read_labels(address, pair.labels)
    with _open(address, pair.images) as stream:
        count, height, width = _read_header(stream, pair.images, IMAGES_MAGIC, n_dimensions=3)
        if count != len(labels):
            raise DataError(f"{pair.images.path} has {count} images, {pair.labels.path} {len(labels)} labels")
        for start in range(0, count, BLOCK):
            size = min(BLOCK, count - start)
            block = np.frombuffer(_read_exactly(stream, size * height * width, pair.images), np.uint8)
            for row, pixels in enumerate(block.reshape(size, height, width), start):
                label = names[int(labels[row])] if names else str(labels[row])
                moment = added_at or pair.images.modified_at
                yield RawImage(pixels, label, pair.split, f"{pair.images.relative}[{row}]", moment)
        _read_end(stream, pair.images)


def content_sha256(address: Address, file: FoundFile) -> str:
    """Return the SHA-256 of a file's contents, unpacked: compressing anew leaves it as it is."""
    digest = hashlib.sha256()
    with _open(address, file) as stream:
        try:
            while block := stream.read(1 << 20):
                digest.update(block)
        except (EOFError, OSError) as error:
            raise DataError(f"{file.path} is damaged: {error}; fetch it again") from error
    return digest.hexdigest()


def _open(address: Address, file: FoundFile) -> IO[bytes]:
    stream: IO[bytes] = address.fs.open(file.path, "rb")
    return cast("IO[bytes]", gzip.GzipFile(fileobj=stream)) if file.path.endswith(".gz") else stream


def _read_labels(address: Address, file: FoundFile) -> bytes:
    with _open(address, file) as stream:
        (count,) = _read_header(stream, file, LABELS_MAGIC, n_dimensions=1)
        labels = _read_exactly(stream, count, file)
        _read_end(stream, file)
        return labels


def _read_header(stream: IO[bytes], file: FoundFile, magic: int, *, n_dimensions: int) -> tuple[int, ...]:
    found, *shape = struct.unpack(f">{1 + n_dimensions}I", _read_exactly(stream, 4 + 4 * n_dimensions, file))
    if found != magic:
        raise DataError(f"{file.path} is not IDX: it starts with {found:#010x}, expected {magic:#010x}")
    return tuple(shape)


def _read_end(stream: IO[bytes], file: FoundFile) -> None:
    """See that nothing follows; reading past the end is also what makes gzip check its sum."""
    try:
        rest = stream.read(1)
    except (EOFError, OSError) as error:
        raise DataError(f"{file.path} is damaged: {error}; fetch it again") from error
    if rest:
        raise DataError(f"{file.path} is longer than its header says; fetch it again")


def _read_exactly(stream: IO[bytes], size: int, file: FoundFile) -> bytes:
    try:
        data = stream.read(size)
    except (EOFError, OSError) as error:
        raise DataError(f"{file.path} is damaged: {error}; fetch it again") from error
    if len(data) != size:
        raise DataError(f"{file.path} is cut short: {size - len(data)} bytes are missing; fetch it again")
    return data
