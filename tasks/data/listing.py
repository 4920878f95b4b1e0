"""What `evergreen data list` shows of a packed dataset: read from its manifest alone."""

from dataclasses import dataclass
from pathlib import Path

from tasks.data.manifest import read_manifest


@dataclass(frozen=True)
class BatchListing:
    """One source or added batch: rows that were packed, rows left out as bad, rows left out as copies."""

    name: str
    kind: str
    is_added: bool
    n_rows: int
    n_quarantined: int
    n_excluded: int
    n_shards: int
    size_bytes: int


@dataclass(frozen=True)
class DatasetListing:
    """A packed dataset; `counts` maps a split's name to the images of each class, in the order of `classes`."""

    folder: Path
    digest: str
    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    batches: tuple[BatchListing, ...]
    quarantined: dict[str, int]
    dropped: dict[str, int]

    @property
    def size_bytes(self) -> int:
        """The size of all shards."""
        return sum(batch.size_bytes for batch in self.batches)


def list_dataset(folder: Path) -> DatasetListing:
    """Return what the packed dataset in `folder` holds.

    Raises:
        DataError: nothing is packed there, or the manifest is damaged.
    """
    manifest = read_manifest(folder)
    batches = tuple(
        BatchListing(
            name=batch.name,
            kind=batch.kind,
            is_added=batch.is_added,
            n_rows=batch.n_rows,
            n_quarantined=sum(batch.quarantined.values()),
            n_excluded=sum(
                len(rows) for shard in batch.shards for rows in manifest.excluded.get(shard.file, {}).values()
            ),
            n_shards=len(batch.shards),
            size_bytes=sum(shard.size_bytes for shard in batch.shards),
        )
        for batch in manifest.batches
    )
    return DatasetListing(
        folder=folder,
        digest=manifest.digest,
        classes=manifest.classes,
        counts=manifest.counts,
        batches=batches,
        quarantined=manifest.quarantined,
        dropped=manifest.dropped,
    )
