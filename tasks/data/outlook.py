"""What preparing the dataset would do: packs, fetches and writes nothing."""

from dataclasses import dataclass
from pathlib import Path

from tasks.data.assemble import check_manifest
from tasks.data.dataset import Dataset
from tasks.data.manifest import Batch, dataset_of, has_manifest, read_manifest
from tasks.data.packed_state import state_of
from tasks.data.rules import rules_of
from tasks.data.sources import open_source, report_nothing
from tasks.data.sources.fashion_files import find_files
from tasks.settings import DataSettings, SourceSettings


@dataclass(frozen=True)
class PackingOutlook:
    """What would be packed, a sentence each; `dataset` is the one that stays, None where something would."""

    dataset: Dataset | None
    changes: tuple[str, ...]


def foresee_packing(settings: DataSettings, *, root: Path, home: Path) -> PackingOutlook:
    """Return what `prepare_dataset` would do with these settings.

    Raises:
        ConfigError, DataError: as `prepare_dataset`, as far as it can be known without packing.
    """
    folder = (root / settings.folder).resolve()
    old = read_manifest(folder) if has_manifest(folder) else None
    known, rules = state_of(folder, home), rules_of(settings)
    batches: list[Batch] = []
    changes: list[str] = []
    for source in settings.sources:
        name = source.name or source.kind
        batch = None
        if not is_to_be_fetched(source, home):
            batch = known.find(open_source(source, root=root, home=home, report=report_nothing), rules)
        if batch is None:
            changes.append(f"{name} is new or changed")
        else:
            batches.append(batch)
    added = [batch for batch in old.batches if batch.is_added] if old else []
    changes += [f"{batch.name} is packed by new rules" for batch in added if batch.rules != rules.digest]
    if not changes and (old is None or old.batches != (*batches, *added)):
        changes.append("other sources than those that are packed")
    if changes or old is None:
        return PackingOutlook(None, tuple(changes))
    check_manifest(old, settings, home / "quarantine")
    return PackingOutlook(dataset_of(folder, old, "unchanged"), ())


def is_to_be_fetched(source: SourceSettings, home: Path) -> bool:
    """Whether the source's files are not on this machine, and opening it would fetch them."""
    return source.kind == "fashion-mnist" and not source.location and find_files(home) is None
