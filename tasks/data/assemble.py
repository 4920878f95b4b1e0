"""Assemble batches into one dataset: judge copies across them, count, check, and write the manifest last."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from tasks.data.checks import CONFLICT, check_classes, check_quarantine, check_spellings, order_classes
from tasks.data.copies import Fate
from tasks.data.index import Index, content_digest, count_images, excluded_rows, read_index, resolve_copies
from tasks.data.manifest import Batch, Manifest, write_manifest
from tasks.settings import DataSettings

CONFLICTS = "conflicts.jsonl"


def assemble(folder: Path, batches: Sequence[Batch], settings: DataSettings, *, quarantine: Path) -> Manifest:
    """Make `batches`, whose shards stand in `folder`, what the dataset is.

    Raises:
        DataError: the dataset as a whole cannot be used; the manifest and the old shards stay as they were.
    """
    manifest = judge_batches(folder, batches, settings, quarantine=quarantine)
    write_manifest(folder, manifest)
    return manifest


def judge_batches(folder: Path, batches: Sequence[Batch], settings: DataSettings, *, quarantine: Path) -> Manifest:
    """Return the manifest of a dataset of these batches, once every check has passed.

    Raises:
        DataError: see `tasks.data.checks`.
    """
    labels: Counter[str] = Counter()
    for batch in batches:
        labels.update(batch.labels)
    check_spellings(labels, settings.classes, "sources together")
    index = read_index(folder, batches)
    resolution = resolve_copies(index)
    conflicts = _conflicts(index, resolution.fates)
    _write_conflicts(folder, conflicts, quarantine / CONFLICTS)
    classes = order_classes(settings.classes, [batch.class_order for batch in batches], labels)
    fates = Counter(resolution.fates.values())
    quarantined = sum((Counter(batch.quarantined) for batch in batches), Counter())
    if fates[Fate.CONFLICT]:
        quarantined[CONFLICT] = fates[Fate.CONFLICT]
    manifest = Manifest(
        digest=content_digest(resolution.kept),
        classes=classes,
        counts=count_images(resolution.kept, classes),
        batches=tuple(batches),
        quarantined=dict(sorted(quarantined.items())),
        dropped={fate.value: fates[fate] for fate in (Fate.DUPLICATE, Fate.TEST_COPY) if fates[fate]},
        excluded=excluded_rows(index, resolution.fates),
    )
    check_manifest(manifest, settings, quarantine)
    return manifest


def check_manifest(manifest: Manifest, settings: DataSettings, quarantine: Path) -> None:
    """Hold a dataset against the limits in the settings, which may have changed since it was packed.

    Raises:
        DataError: a limit is passed.
    """
    for batch in manifest.batches:
        bad = Counter(batch.quarantined)
        for shard in batch.shards:
            bad[CONFLICT] += len(manifest.excluded.get(shard.file, {}).get(CONFLICT, ()))
        check_quarantine(
            {reason: count for reason, count in bad.items() if count},
            batch.n_rows + sum(batch.quarantined.values()),
            max_share=settings.max_quarantined_share,
            source=batch.name,
            file=quarantine / (CONFLICTS if bad[CONFLICT] else f"{batch.name}.jsonl"),
        )
    check_classes(manifest.classes, manifest.counts, min_per_class=settings.min_images_per_class)


def _conflicts(index: Index, fates: dict[int, Fate]) -> dict[str, list[int]]:
    """Return the rows in conflict: shard file -> row numbers."""
    rows: dict[str, list[int]] = {}
    for row, fate in sorted(fates.items()):
        if fate is Fate.CONFLICT:
            rows.setdefault(index.files[index.shards[row]], []).append(int(index.rows[row]))
    return rows


def _write_conflicts(folder: Path, conflicts: dict[str, list[int]], path: Path) -> None:
    """Write the rows in conflict, those of one image after each other, as a quarantine file."""
    columns = ["sha256", "label", "source", "name"]
    found = [
        row
        for file, rows in conflicts.items()
        for row in pq.read_table(folder / file, columns=columns, partitioning=None).take(rows).to_pylist()
    ]
    if not found:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({**row, "reason": CONFLICT}) for row in sorted(found, key=lambda row: row["sha256"])]
    path.write_text("".join(f"{line}\n" for line in lines))
