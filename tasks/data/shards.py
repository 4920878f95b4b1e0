"""Shards: Parquet files of packed images. The same rows give the same bytes, under the same dependency lock."""

import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from serving.bundle.contract import file_sha256
from serving.bundle.decode import ImageError, decode_image
from serving.bundle.durable import DRAFT, sync
from tasks.data.checks import EMPTY_FILE, image_reason, judge_label
from tasks.data.manifest import Shard
from tasks.data.rules import Rules
from tasks.data.sources.raw import RawImage

NAME = re.compile(r"^(?P<batch>.+)-\d{5}-[0-9a-f]{12}\.parquet$")
GROUP_ROWS = 2_000  # of a row group: what a reader holds at once ...
GROUP_BYTES = 16_000_000  # ... whichever is reached first
TEXTS = ("label", "source", "name", "added_at", "split", "sha256")
SCHEMA = pa.schema([("image", pa.binary()), *((name, pa.string()) for name in TEXTS)])


@dataclass(frozen=True, slots=True)
class PackedImage:
    """An image that passed: `image` is a PNG or JPEG file, `sha256` that of its decoded pixels."""

    image: bytes
    sha256: str
    raw: RawImage


@dataclass(frozen=True, slots=True)
class BadImage:
    """A row for the quarantine file: `reason` to count by, `detail` for the person who mends it."""

    label: str | None
    name: str
    reason: str
    detail: str


def pack_image(raw: RawImage, rules: Rules) -> PackedImage | BadImage:
    """Check and encode one image; pixels become PNG, files stay what they are."""
    if reason := judge_label(raw.label, rules.classes):
        return BadImage(raw.label, raw.name, reason, f"{raw.label!r} is not in data.classes" if raw.label else reason)
    if isinstance(raw.data, np.ndarray):
        return PackedImage(_png(raw.data), pixels_sha256(raw.data), raw)
    if not raw.data:
        return BadImage(raw.label, raw.name, EMPTY_FILE, "0 bytes")
    try:
        pixels = decode_image(raw.data, rules.max_image_pixels)
    except ImageError as error:
        return BadImage(raw.label, raw.name, image_reason(str(error)), str(error))
    return PackedImage(raw.data, pixels_sha256(pixels), raw)


def pixels_sha256(pixels: npt.NDArray[np.uint8]) -> str:
    """Return the SHA-256 over mode, height, width and the pixels (H, W) or (H, W, 3) uint8, in hex."""
    mode = "L" if pixels.ndim == 2 else "RGB"
    digest = hashlib.sha256(f"{mode} {pixels.shape[0]} {pixels.shape[1]}\n".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


class ShardWriter:
    """Writes one batch's rows into shards that are closed at about `shard_bytes` of images.

    A shard is written under a draft's name and renamed to `BATCH-00000-SHA256.parquet` when it is complete and on
    the disk; one that is there already stays untouched. `close` returns them all.
    """

    def __init__(self, folder: Path, batch: str, shard_bytes: int) -> None:
        self._folder = folder
        self._batch = re.sub(r"[^A-Za-z0-9._]+", "-", batch).strip("-.") or "batch"
        self._shard_bytes = shard_bytes
        self._shards: list[Shard] = []
        self._writer: pq.ParquetWriter | None = None
        self._columns: dict[str, list[bytes | str]] = {name: [] for name in SCHEMA.names}
        self._group_bytes = self._bytes = self._rows = 0

    def add(self, image: PackedImage, *, source: str, split: str) -> None:
        """Add one row."""
        raw = image.raw
        texts = (str(raw.label), source, raw.name, raw.added_at, split, image.sha256)
        self._columns["image"].append(image.image)
        for name, text in zip(TEXTS, texts, strict=True):
            self._columns[name].append(text)
        self._rows += 1
        self._group_bytes += len(image.image)
        self._bytes += len(image.image)
        if len(self._columns["image"]) == GROUP_ROWS or self._group_bytes >= GROUP_BYTES:
            self._write_group()
        if self._bytes >= self._shard_bytes:
            self._finish_shard()

    def close(self) -> tuple[Shard, ...]:
        """Finish the last shard and return all of them."""
        self._finish_shard()
        return tuple(self._shards)

    def abandon(self) -> None:
        """Remove what is half-written, after an error."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._draft.unlink(missing_ok=True)

    @property
    def _draft(self) -> Path:
        return self._folder / f"{DRAFT}{self._batch}.parquet"

    def _write_group(self) -> None:
        if not self._columns["image"]:
            return
        if self._writer is None:
            self._writer = _open_writer(self._draft)
        self._writer.write_table(pa.table(self._columns, schema=SCHEMA), row_group_size=GROUP_ROWS)
        self._columns = {name: [] for name in SCHEMA.names}
        self._group_bytes = 0

    def _finish_shard(self) -> None:
        self._write_group()
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        sync(self._draft)
        sha256 = file_sha256(self._draft)
        size = self._draft.stat().st_size
        file = f"{self._batch}-{len(self._shards):05d}-{sha256[:12]}.parquet"
        final = self._folder / file
        if final.is_file() and final.stat().st_size == size:
            self._draft.unlink()
        else:
            self._draft.replace(final)
        self._shards.append(Shard(file, self._rows, size, sha256))
        self._bytes = self._rows = 0


def _open_writer(path: Path) -> pq.ParquetWriter:
    compression = {"image": "NONE"} | dict.fromkeys(TEXTS, "ZSTD")  # images are compressed already
    dictionary = ["label", "source", "added_at", "split"]
    return pq.ParquetWriter(path, SCHEMA, compression=compression, use_dictionary=dictionary, write_statistics=False)


def sweep(folder: Path, keep: set[str]) -> list[str]:
    """Remove drafts and the shards that are not in `keep`; return their names. Other files stay."""
    if not folder.is_dir():
        return []
    leftover = [
        path
        for path in sorted(folder.iterdir())
        if path.name not in keep and (path.name.startswith(DRAFT) or NAME.match(path.name))
    ]
    for path in leftover:
        path.unlink()
    return [path.name for path in leftover]
