"""The data of a version, back from cache or remote, with every file and every image held against its record."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from serving.bundle.contract import file_sha256
from serving.bundle.decode import ImageError, decode_image
from tasks.data.dataset import Dataset
from tasks.data.fetch import FetchedFile, fetch_version
from tasks.data.index import content_digest, read_kept
from tasks.data.manifest import Manifest, dataset_of, read_manifest
from tasks.data.parallel import map_ordered
from tasks.data.pixels import NO_LIMIT
from tasks.data.shards import pixels_sha256
from tasks.reproduction.order import Order

Report = Callable[[str, int, int], None]  # what, done, total
SHOWN = 5  # altered images that are named; the rest is counted
COLUMNS = ["image", "sha256", "name", "label"]
SHARD = ".parquet"


@dataclass(frozen=True)
class Restored:
    """The data that came back: the dataset where all of it is as recorded, else what was found altered.

    `md5` is DVC's of what was found, `files` and `images` count what was looked at; `place` is where it came from.
    """

    dataset: Dataset | None
    findings: tuple[str, ...]
    md5: str
    files: int
    images: int
    place: str


def restore_data(order: Order, folder: Path, home: Path, report: Report) -> Restored:
    """Bring the data of an order back into the new `folder`, and look at every file and every image.

    Raises:
        DataError: a file is in neither the cache nor the remote.
    """
    report("restore the data", 0, 0)
    fetched = list(
        fetch_version(order.dvc_md5, folder, root=Path(order.data_root), remote=order.data_remote, home=home)
    )
    listing, *files = fetched
    found_md5, place = f"{listing.found_md5}.dir", common_place(fetched)
    if altered := [file for file in fetched if not file.is_intact]:
        findings = tuple(sentence for file in altered for sentence in describe_file(file, folder))
        return Restored(None, findings, found_md5, len(files), 0, place)
    manifest = read_manifest(folder)
    images, found = look_at_images([folder / shard.file for shard in manifest.shards], report)
    findings = (*find_other_digests(order, folder, manifest), *found)
    dataset = None if findings else dataset_of(folder, manifest, "restored")
    return Restored(dataset, findings, found_md5, len(files), images, place)


def find_other_digests(order: Order, folder: Path, manifest: Manifest) -> Iterator[str]:
    """Yield what is wrong with the manifest: the SHA-256 of a shard, or the dataset's digest."""
    for shard in manifest.shards:
        found = file_sha256(folder / shard.file)
        if found != shard.sha256:
            yield f"{shard.file}: its SHA-256 is {found}, the dataset's manifest says {shard.sha256}"
    digest = content_digest(read_kept(folder, manifest))
    if not digest == manifest.digest == order.data_digest:
        yield (
            f"the data's digest is {digest} by its images, {manifest.digest} in its manifest, and {order.data_digest} "
            "in the version's records"
        )


def common_place(fetched: Sequence[FetchedFile]) -> str:
    """Return the folder or address that all files came from, and both where cache and remote gave some."""
    return " and ".join(dict.fromkeys(file.place.rpartition("/files/md5/")[0] or file.place for file in fetched))


def describe_file(file: FetchedFile, folder: Path) -> Iterator[str]:
    """Yield what is wrong with an altered file: the file, and the images in it that are not their SHA-256."""
    yield f"{file.name} was changed: its md5 is {file.found_md5}, recorded is {file.md5}; it came from {file.place}"
    if not file.name.endswith(SHARD):
        return
    path = folder / file.name
    try:
        _, found = look_at_images([path], lambda *_: None)
    except (OSError, pa.ArrowException) as error:
        yield f"{file.name} cannot be read any more: {error}"
        return
    yield from found or [f"{file.name}: each image agrees with the SHA-256 beside it, so rows were changed as a whole"]


def look_at_images(shards: list[Path], report: Report) -> tuple[int, list[str]]:
    """Return the number of images in the shards, and a sentence for each that is not its SHA-256.

    Raises:
        OSError, pyarrow.ArrowException: a shard cannot be read.
    """
    groups = [(path, number) for path in shards for number in range(pq.read_metadata(path).num_row_groups)]
    total = sum(pq.read_metadata(path).num_rows for path in shards)
    done, found = 0, list[str]()
    for count, sentences in map_ordered(look_at_group, groups):
        done += count
        found += sentences
        report("look at each image", done, total)
    hidden = len(found) - SHOWN
    return done, [*found[:SHOWN], *([f"and {hidden} more images"] if hidden > 0 else [])]


def look_at_group(group: tuple[Path, int]) -> tuple[int, list[str]]:
    """Return the number of images in a row group, and a sentence for each that is not its SHA-256."""
    path, number = group
    with pq.ParquetFile(path) as shard:
        rows = shard.read_row_group(number, columns=COLUMNS, use_threads=False).to_pylist()
    found = []
    for row in rows:
        pixels = pixels_of(row["image"])
        if pixels != row["sha256"]:
            name, label = json.dumps(row["name"]), json.dumps(row["label"])
            found.append(f"{path.name}: image {row['sha256']} ({name}, {label}) holds other pixels: {pixels}")
    return len(rows), found


def pixels_of(image: bytes) -> str:
    """Return the SHA-256 of an image's decoded pixels, or why it cannot be decoded."""
    try:
        return pixels_sha256(decode_image(image, max_pixels=NO_LIMIT))
    except ImageError as error:
        return str(error)
