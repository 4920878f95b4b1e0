"""A batch's own shards as a source: how an added batch, whose images stand nowhere else, is packed by new rules."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from tasks.data.dataset import Split
from tasks.data.manifest import Batch
from tasks.data.sources.raw import RawImage, Source

SPLITS = {split.title: split for split in Split}
BATCH_ROWS = 256


def open_packed(folder: Path, batch: Batch) -> Source:
    """Return the batch as a source that publishes what the batch's own source published."""
    publishes = frozenset(SPLITS[title] for title in batch.publishes)
    return Source(
        name=batch.name,
        kind=batch.kind,
        fingerprint="",
        size_bytes=sum(shard.size_bytes for shard in batch.shards),
        n_images=batch.n_rows,
        read=lambda: _read(folder, batch, publishes),
        publishes=publishes,
        class_order=batch.class_order,
    )


def _read(folder: Path, batch: Batch, publishes: frozenset[Split]) -> Iterator[RawImage]:
    for shard in batch.shards:
        with pq.ParquetFile(folder / shard.file) as table:
            for rows in table.iter_batches(batch_size=BATCH_ROWS):
                for row in rows.to_pylist():
                    split = SPLITS[row["split"]]
                    published = split if split in publishes else None
                    yield RawImage(row["image"], row["label"], published, row["name"], row["added_at"])
