"""The index: one row for every packed image, without the images. Digest, counts and duplicates come from it."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.checks import CONFLICT
from tasks.data.copies import Copy, Fate, judge_copies
from tasks.data.dataset import Split
from tasks.data.manifest import RESTORE, Batch, Manifest
from tasks.errors import DataError

SPLITS = {split.title: split for split in Split}


@dataclass(frozen=True)
class Index:
    """Columns over the rows of all shards, in their order; `labels` index `names`.

    sha256 (N,) S64 hex, labels (N,) int32, splits (N,) uint8 of `Split`, is_published_test (N,) bool,
    shards (N,) int32 into `files`, rows (N,) int32 within the shard.
    """

    names: tuple[str, ...]
    files: tuple[str, ...]
    sha256: npt.NDArray[np.bytes_]
    labels: npt.NDArray[np.int32]
    splits: npt.NDArray[np.uint8]
    is_published_test: npt.NDArray[np.bool_]
    shards: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int32]

    def take(self, chosen: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "Index":
        """Return the index of the chosen rows, in that order."""
        columns = ("sha256", "labels", "splits", "is_published_test", "shards", "rows")
        return Index(self.names, self.files, **{name: getattr(self, name)[chosen] for name in columns})


@dataclass(frozen=True)
class Resolution:
    """What is left of the rows once copies are judged; `fates` maps a row of the index to why it is out."""

    kept: Index
    fates: dict[int, Fate]


def read_index(folder: Path, batches: Iterable[Batch]) -> Index:
    """Read the index of every row in the batches' shards, excluded ones too.

    Raises:
        DataError: a shard is missing or is not a shard.
    """
    tables, files, published, n_rows = [], [], [], []
    for batch in batches:
        for shard in batch.shards:
            tables.append(_read_columns(folder / shard.file))
            files.append(shard.file)
            n_rows.append(tables[-1].num_rows)
            published.append(Split.TEST.title in batch.publishes)
    table = pa.concat_tables(tables).combine_chunks()
    labels = table.column("label").combine_chunks().dictionary_encode()
    splits = np.array([SPLITS[text] for text in table.column("split").to_pylist()], np.uint8)
    return Index(
        names=tuple(labels.dictionary.to_pylist()),
        files=tuple(files),
        sha256=np.array(table.column("sha256").to_pylist(), "S64"),
        labels=labels.indices.to_numpy().astype(np.int32),
        splits=splits,
        is_published_test=np.repeat(published, n_rows) & (splits == Split.TEST),
        shards=np.repeat(np.arange(len(files), dtype=np.int32), n_rows),
        rows=np.concatenate([np.arange(count, dtype=np.int32) for count in n_rows]),
    )


def read_kept(folder: Path, manifest: Manifest) -> Index:
    """Read the index of the dataset's rows: those of its shards that the manifest does not exclude."""
    index = read_index(folder, manifest.batches)
    is_kept = np.ones(len(index.rows), bool)
    starts = {file: int(np.searchsorted(index.shards, number)) for number, file in enumerate(index.files)}
    for file, reasons in manifest.excluded.items():
        for rows in reasons.values():
            is_kept[starts[file] + np.array(rows, np.intp)] = False
    return index.take(is_kept)


def resolve_copies(index: Index) -> Resolution:
    """Judge every image that stands in more than one row."""
    order = np.argsort(index.sha256, kind="stable")
    is_new = np.append(True, index.sha256[order][1:] != index.sha256[order][:-1]) if len(order) else np.ones(0, bool)
    starts = np.flatnonzero(is_new)
    sizes = np.diff(np.append(starts, len(order)))
    fates: dict[int, Fate] = {}
    for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
        rows = order[start : start + size]
        judged = judge_copies([_copy(index, int(row)) for row in rows])
        fates.update({int(row): fate for row, fate in zip(rows, judged, strict=True) if fate is not Fate.KEPT})
    is_kept = np.ones(len(order), bool)
    is_kept[list(fates)] = False
    return Resolution(index.take(is_kept), fates)


def content_digest(index: Index) -> str:
    """Return the dataset's digest: SHA-256 over the sorted (image sha256, label, split), a JSON line each."""
    titles = [split.title for split in Split]
    hashes, labels, splits = index.sha256.astype(str).tolist(), index.labels.tolist(), index.splits.tolist()
    rows = sorted(
        (sha256, index.names[label], titles[split]) for sha256, label, split in zip(hashes, labels, splits, strict=True)
    )
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row).encode() + b"\n")
    return digest.hexdigest()


def count_images(index: Index, classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the number of images of each class, by the split's name."""
    numbers = class_numbers(index, classes)
    return {
        split.title: tuple(np.bincount(numbers[index.splits == split], minlength=len(classes)).tolist())
        for split in Split
    }


def class_numbers(index: Index, classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return each row's position in `classes`, (N,) int64."""
    positions = {name: number for number, name in enumerate(classes)}
    return np.array([positions.get(name, -1) for name in index.names], np.int64)[index.labels]


def excluded_rows(index: Index, fates: dict[int, Fate]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return the rows that are out as the manifest writes them: shard file -> reason -> rows."""
    excluded: dict[str, dict[str, tuple[int, ...]]] = {}
    for row in sorted(fates):
        reasons = excluded.setdefault(index.files[index.shards[row]], {})
        reason = CONFLICT if fates[row] is Fate.CONFLICT else fates[row].value
        reasons[reason] = (*reasons.get(reason, ()), int(index.rows[row]))
    return excluded


def _copy(index: Index, row: int) -> Copy:
    return Copy(index.names[index.labels[row]], Split(index.splits[row]), bool(index.is_published_test[row]))


def _read_columns(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, columns=["sha256", "label", "split"], partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {error}; {RESTORE}") from error
