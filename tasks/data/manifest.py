"""The manifest: `manifest.json`, which says what a packed dataset is. A shard it does not name is not part of it.

It is written last and renamed into place, so that a dataset is always the old one or the new one. It holds
nothing of the machine or the moment: the same images and rules give the same bytes.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.bundle.durable import write_json
from tasks.data.dataset import Dataset
from tasks.errors import DataError

MANIFEST = "manifest.json"
FORMAT = 1
RESTORE = (  # the way out where packed data is damaged
    "move the folder away, bring back the newest version that a run kept with `evergreen data restore`, "
    "and add again what was added after that run"
)


@dataclass(frozen=True)
class Shard:
    """One Parquet file of a batch; `file` is relative to the dataset's folder and holds 12 digits of `sha256`."""

    file: str
    n_rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Batch:
    """The shards that one source, or one `evergreen data add`, brought.

    `rules` is the digest of the `Rules` it was packed by; `labels` counts the packed rows of each label;
    `quarantined` counts the rows that were left out, by reason.
    """

    name: str
    kind: str
    rules: str
    is_added: bool
    publishes: tuple[str, ...]
    class_order: tuple[str, ...]
    labels: dict[str, int]
    quarantined: dict[str, int]
    shards: tuple[Shard, ...]

    @property
    def n_rows(self) -> int:
        """The number of packed rows."""
        return sum(shard.n_rows for shard in self.shards)


@dataclass(frozen=True)
class Manifest:
    """What a packed dataset is.

    `excluded` names rows that are in a shard and not in the dataset: shard file -> reason -> row numbers.
    `quarantined` and `dropped` count all that was left out, by reason.
    """

    digest: str
    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    batches: tuple[Batch, ...]
    quarantined: dict[str, int]
    dropped: dict[str, int]
    excluded: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def shards(self) -> tuple[Shard, ...]:
        """Every shard, batch by batch."""
        return tuple(shard for batch in self.batches for shard in batch.shards)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make `manifest` what the folder holds, in one step."""
    write_json(folder / MANIFEST, dataclasses.asdict(manifest))


def has_manifest(folder: Path) -> bool:
    """Say whether the folder holds a packed dataset."""
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> Manifest:
    """Read a packed dataset's manifest.

    Raises:
        DataError: there is none, or it is damaged.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text())
        if values["format"] != FORMAT:
            raise DataError(f"{path} has format {values['format']!r}, this code reads {FORMAT}")
        batches = tuple(batch_from_json(batch) for batch in values.pop("batches"))
        counts = {split: tuple(numbers) for split, numbers in values.pop("counts").items()}
        excluded = {
            file: {reason: tuple(rows) for reason, rows in reasons.items()}
            for file, reasons in values.pop("excluded").items()
        }
        classes = tuple(values.pop("classes"))
        return Manifest(classes=classes, counts=counts, batches=batches, excluded=excluded, **values)
    except FileNotFoundError as error:
        raise DataError(f"{folder} holds no packed dataset: run `evergreen run`, which packs it") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error}): {RESTORE}") from error


def read_unchanged(dataset: Dataset) -> Manifest:
    """Return the manifest of a dataset whose folder holds it still.

    Raises:
        DataError: the folder was packed anew since the dataset was prepared.
    """
    manifest = read_manifest(dataset.folder)
    if manifest.digest != dataset.digest:
        raise DataError(
            f"{dataset.folder} holds digest {manifest.digest} now, not {dataset.digest}: it was packed anew; run again"
        )
    return manifest


def batch_from_json(values: dict[str, Any]) -> Batch:
    """Return the batch that `dataclasses.asdict` made `values` of."""
    shards = tuple(Shard(**shard) for shard in values["shards"])
    texts = {name: tuple(values[name]) for name in ("publishes", "class_order")}
    return Batch(**{**values, **texts, "shards": shards})


def dataset_of(folder: Path, manifest: Manifest, reason: str) -> Dataset:
    """Return the record that the data stage hands on."""
    return Dataset(
        folder=folder,
        digest=manifest.digest,
        classes=manifest.classes,
        counts=manifest.counts,
        shards=tuple(shard.file for shard in manifest.shards),
        quarantined=manifest.quarantined,
        dropped=manifest.dropped,
        reason=reason,
    )
