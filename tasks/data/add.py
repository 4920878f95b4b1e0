"""Add a batch: labelled images that stand in no source become new shards; old shards are not touched."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tasks.data.assemble import judge_batches
from tasks.data.checks import CONFLICT
from tasks.data.disk import explain_full_disk
from tasks.data.lock import data_lock
from tasks.data.manifest import Batch, Manifest, read_manifest, write_manifest
from tasks.data.pack import pack_source
from tasks.data.prepare_dataset import ADDED
from tasks.data.rules import rules_of
from tasks.data.shards import sweep
from tasks.data.sources import Report, Source, report_nothing
from tasks.data.sources.addresses import list_files, open_address
from tasks.data.sources.idx import open_idx
from tasks.data.sources.image_folder import open_image_folder
from tasks.data.sources.parquet import open_parquet
from tasks.errors import DataError
from tasks.settings import DataSettings


@dataclass(frozen=True)
class BatchAdded:
    """What `evergreen data add` did; `n_duplicate` images were in the dataset already, `digest` is its digest now."""

    name: str
    n_added: int
    n_duplicate: int
    n_quarantined: int
    shards: tuple[str, ...]
    digest: str


def add_batch(
    location: str, *, settings: DataSettings, root: Path, home: Path, report: Report = report_nothing
) -> BatchAdded:
    """Append the images at `location` (a folder with a folder for each class, Parquet, or IDX) to the dataset.

    A batch that holds nothing new is not added.

    Raises:
        DataError: nothing is packed yet, the images cannot be used, or the dataset could not be used with them.
    """
    folder = (root / settings.folder).resolve()
    with explain_full_disk(home, 0, "add the images"), data_lock(home, report):
        old = read_manifest(folder)
        source = open_batch(location, _next_name(old, location), root)
        try:
            manifest = _append(
                old, source, folder=folder, settings=settings, quarantine=home / "quarantine", report=report
            )
        except DataError:
            sweep(folder, {shard.file for shard in old.shards})
            raise
        added = _count(old, manifest)
        if added.n_added:
            write_manifest(folder, manifest)
        sweep(folder, {shard.file for shard in (manifest if added.n_added else old).shards})
    return added


def open_batch(location: str, name: str, root: Path) -> Source:
    """Return the source at `location`, its kind told from the names of its files.

    Raises:
        DataError: nothing usable is there.
    """
    names = [file.relative for file in list_files(open_address(location, root))]
    if any(found.endswith(".parquet") for found in names):
        return open_parquet(location, name, root)
    if any(re.search(r"-images[.-]idx3-ubyte(\.gz)?$", found) for found in names):
        return open_idx(location, name, root)
    return open_image_folder(location, name, root)


def _append(
    old: Manifest, source: Source, *, folder: Path, settings: DataSettings, quarantine: Path, report: Report
) -> Manifest:
    """Pack the source and return what the dataset would be with it."""
    batch = pack_source(
        source,
        folder,
        rules_of(settings),
        quarantine=quarantine / f"{source.name}.jsonl",
        max_share=settings.max_quarantined_share,
        is_added=True,
        report=report,
    )
    report("check the dataset", 0, 0)
    return judge_batches(folder, [*old.batches, batch], settings, quarantine=quarantine)


def _count(old: Manifest, new: Manifest) -> BatchAdded:
    batch: Batch = new.batches[-1]
    out: Counter[str] = Counter()
    for shard in batch.shards:
        out.update({reason: len(rows) for reason, rows in new.excluded.get(shard.file, {}).items()})
    n_conflict = out.pop(CONFLICT, 0)
    n_added = batch.n_rows - n_conflict - out.total()
    return BatchAdded(
        name=batch.name,
        n_added=n_added,
        n_duplicate=out.total(),
        n_quarantined=sum(batch.quarantined.values()) + n_conflict,
        shards=tuple(shard.file for shard in batch.shards) if n_added else (),
        digest=new.digest if n_added else old.digest,
    )


def _next_name(old: Manifest, location: str) -> str:
    """Return `added-0001-FOLDER`: numbered, so that batches of one folder differ."""
    number = 1 + sum(batch.is_added for batch in old.batches)
    folder = re.sub(r"[^A-Za-z0-9_]+", "-", location.rstrip("/").rsplit("/", 1)[-1]).strip("-").lower()
    return f"{ADDED}{number:04d}-{folder or 'batch'}"
