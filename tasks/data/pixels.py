"""Pixels: the dataset as uint8 memory maps of one shape, which training and evaluation read.

Built once for a digest, class order, number of channels, size and code; written aside and renamed when complete.
The few that were used last are kept.
"""

import hashlib
import importlib.metadata
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from serving.bundle.decode import decode_image
from serving.bundle.durable import sync
from serving.records import STATISTICS
from tasks.data.dataset import Dataset, PixelMap, Split
from tasks.data.disk import space_for
from tasks.data.index import Index, class_numbers, read_kept
from tasks.data.lock import hold_lock
from tasks.data.manifest import read_unchanged
from tasks.data.measure import Measurer
from tasks.data.parallel import map_ordered
from tasks.data.sources.raw import Report, report_nothing
from tasks.errors import DataError

PROJECT = Path(__file__).parents[2]
MAKERS = (  # the code that decides what stands in a map, and the libraries that it works with
    "serving/bundle/decode.py",
    "serving/bundle/preprocess.py",
    "serving/records.py",
    "tasks/data/measure.py",
    "tasks/data/pixels.py",
)
LIBRARIES = ("numpy", "pillow", "torch")
KEPT_MAPS = 4  # that were used last, on the disk
NO_LIMIT = 1 << 62  # pixels: images were held to the limit when they were packed
ROW_BYTES = 8 + 1 + 64 + STATISTICS.itemsize  # label, split, id and statistics of an image
ARRAYS = ("images", "labels", "ids", "statistics")  # the files behind `PixelArrays`, in its order

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PixelArrays:
    """Memory-mapped rows of a `PixelMap`: images (N, channels, size, size) uint8, labels (N,) int64, ids (N,) S64.

    statistics (N,) of `serving.records.STATISTICS` are of the images as sent, before preprocessing.
    """

    images: Pixels
    labels: npt.NDArray[np.int64]
    ids: npt.NDArray[np.bytes_]
    statistics: npt.NDArray[np.void]


@dataclass(frozen=True)
class RowGroup:
    """A row group of a shard, and where its images go: row `rows[i]` of the group to row `targets[i]` of the map."""

    path: Path
    number: int
    rows: npt.NDArray[np.int32]
    targets: npt.NDArray[np.intp]


def build_pixels(
    dataset: Dataset, *, channels: int, size_px: int, cache: Path, report: Report = report_nothing
) -> PixelMap:
    """Decode and preprocess every image of the dataset on all cores, or return the map that is there already.

    Raises:
        DataError: no disk space, or shards that changed since the dataset was prepared.
    """
    pixel_map = describe_pixels(dataset, channels=channels, size_px=size_px, cache=cache)
    folder = pixel_map.folder
    if _mark_used(folder):
        return pixel_map
    needed = dataset.size * (channels * size_px**2 + ROW_BYTES)
    with hold_lock(cache / "locks" / "pixels.lock", "unpacks the images", report):
        if _mark_used(folder):  # built by the process that was waited for
            return pixel_map
        with space_for(folder.parent, needed, "unpack the images"):
            draft = folder.parent / ".draft"
            shutil.rmtree(draft, ignore_errors=True)  # what a killed run left
            draft.mkdir()
            try:
                _write(dataset, draft, channels, size_px, report)
                draft.rename(folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        _mark_used(folder)
        _prune(folder)
    return pixel_map


def describe_pixels(dataset: Dataset, *, channels: int, size_px: int, cache: Path) -> PixelMap:
    """Return the map that `build_pixels` makes, whether or not its folder is there already."""
    made_of = json.dumps([dataset.classes, makers_digest()])
    variant = hashlib.sha256(made_of.encode()).hexdigest()[:8]
    folder = cache / "pixels" / f"{dataset.digest[:16]}-{variant}-{channels}x{size_px}"
    return PixelMap(folder, dataset.digest, dataset.classes, channels, size_px)


def makers_digest() -> str:
    """Return the SHA-256 over the code that makes a map and the versions of its libraries, none of them imported."""
    digest = hashlib.sha256()
    for name in MAKERS:
        digest.update(f"{name}\n".encode())
        digest.update((PROJECT / name).read_bytes())
    for name in LIBRARIES:
        digest.update(f"{name} {importlib.metadata.version(name)}\n".encode())
    return digest.hexdigest()


def _mark_used(folder: Path) -> bool:
    """Make a map the one that was used last; False where there is none."""
    try:
        os.utime(folder)
    except FileNotFoundError:
        return False
    return True


def _prune(used: Path) -> None:
    """Remove all maps but `used` and those others that were used last."""
    others = [path for path in used.parent.iterdir() if path.is_dir() and path != used]
    others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in others[KEPT_MAPS - 1 :]:
        shutil.rmtree(path)


def open_pixels(pixels: PixelMap, split: Split | None = None) -> PixelArrays:
    """Return the rows of one split, or all, without reading them.

    Raises:
        DataError: the map is gone.
    """
    try:
        splits, *arrays = (np.load(pixels.folder / f"{name}.npy", mmap_mode="r") for name in ("splits", *ARRAYS))
    except FileNotFoundError as error:
        raise DataError(f"{error.filename} is gone: run again, which builds the pixels anew") from error
    rows = slice(None) if split is None else slice(*np.searchsorted(splits, [int(split), int(split) + 1]))
    return PixelArrays(*(array[rows] for array in arrays))


def _write(dataset: Dataset, draft: Path, channels: int, size_px: int, report: Report) -> None:
    index = read_kept(dataset.folder, read_unchanged(dataset))
    numbers = class_numbers(index, dataset.classes)
    order = np.lexsort((numbers, index.sha256, index.splits))
    np.save(draft / "labels.npy", numbers[order])
    np.save(draft / "splits.npy", index.splits[order])
    np.save(draft / "ids.npy", index.sha256[order])
    shape = (len(order), channels, size_px, size_px)
    images = np.lib.format.open_memmap(draft / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    statistics = np.empty(len(order), STATISTICS)
    _unpack(list(_row_groups(dataset.folder, index, order)), images, statistics, report)
    images.flush()
    np.save(draft / "statistics.npy", statistics)
    for file in sorted(draft.iterdir()):
        sync(file)  # the rename must not reach the disk before the pixels


def _unpack(groups: Sequence[RowGroup], images: Pixels, statistics: npt.NDArray[np.void], report: Report) -> None:
    """Fill `images` (N, channels, size, size) and their `statistics` from the row groups, on all cores."""
    prepare = _preprocessor(channels=images.shape[1], size_px=images.shape[2])

    def unpack(group: RowGroup) -> int:
        data, measurer = _read_images(group), Measurer(statistics)
        for row, target in zip(group.rows.tolist(), group.targets.tolist(), strict=True):
            image = decode_image(data[row].as_py(), max_pixels=NO_LIMIT)
            images[target] = prepare(image)
            measurer.add(image, target)
        measurer.flush()
        return len(group.rows)

    done, stage = 0, "unpack the images"
    report(stage, 0, len(images))
    for count in map_ordered(unpack, groups):
        done += count
        report(stage, done, len(images))


def _row_groups(folder: Path, index: Index, order: npt.NDArray[np.intp]) -> Iterator[RowGroup]:
    target = np.empty(len(order), np.intp)
    target[order] = np.arange(len(order))
    for shard, file in enumerate(index.files):
        chosen = np.flatnonzero(index.shards == shard)
        rows = index.rows[chosen]
        start = 0
        with pq.ParquetFile(folder / file) as table:
            sizes = [table.metadata.row_group(number).num_rows for number in range(table.num_row_groups)]
        for number, size in enumerate(sizes):
            first, last = np.searchsorted(rows, [start, start + size])
            if last > first:
                yield RowGroup(folder / file, number, rows[first:last] - start, target[chosen[first:last]])
            start += size


def _read_images(group: RowGroup) -> pa.Array:
    with pq.ParquetFile(group.path) as table:
        return table.read_row_group(group.number, columns=["image"], use_threads=False).column("image").combine_chunks()


def _preprocessor(channels: int, size_px: int) -> Callable[[Pixels], Pixels]:
    """Return a function from (H, W) or (H, W, 3) to (channels, size, size); torch is imported by the first misfit."""
    loaded: list[Callable[[Pixels], Pixels]] = []

    def prepare(pixels: Pixels) -> Pixels:
        image = pixels[np.newaxis] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
        if image.shape == (channels, size_px, size_px):
            return image
        if not loaded:
            loaded.append(_load_preprocess(channels, size_px))
        return loaded[0](image)

    return prepare


def _load_preprocess(channels: int, size_px: int) -> Callable[[Pixels], Pixels]:
    import torch  # noqa: PLC0415 - takes 6 s, and images that fit do not need it

    from serving.bundle.preprocess import Preprocess  # noqa: PLC0415 - imports torch

    preprocess = Preprocess(channels, size_px)

    def resize(image: Pixels) -> Pixels:
        with torch.inference_mode():
            resized: Pixels = preprocess(torch.from_numpy(image)).numpy()
        return resized

    return resize
