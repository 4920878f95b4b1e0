"""Prepare the dataset: pack what changed, reuse what did not, and say why.

Safe to kill at any moment: shards are renamed when complete, the manifest is written last, and the next run
sweeps what it does not name.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tasks.data.assemble import assemble, check_manifest
from tasks.data.dataset import Dataset
from tasks.data.disk import explain_full_disk
from tasks.data.lock import data_lock
from tasks.data.manifest import RESTORE, Batch, Manifest, dataset_of, has_manifest, read_manifest
from tasks.data.pack import pack_source
from tasks.data.packed_state import has_shards, state_of
from tasks.data.rules import Rules, rules_of
from tasks.data.shards import NAME, sweep
from tasks.data.sources import Report, Source, open_source, report_nothing
from tasks.data.sources.packed import open_packed
from tasks.errors import ConfigError, DataError
from tasks.settings import DataSettings

ADDED = "added-"  # how the names of batches begin that `evergreen data add` brought


def prepare_dataset(settings: DataSettings, *, root: Path, home: Path, report: Report = report_nothing) -> Dataset:
    """Pack the sources and the added batches into `settings.folder`, or reuse what is packed there.

    `root` is the project's folder, `home` holds caches, locks and `quarantine/`. `Dataset.reason` says what
    was packed and what was reused.

    Raises:
        ConfigError: two sources of one name.
        DataError: a source, or the dataset as a whole, cannot be used; the packed dataset stays as it was.
    """
    folder = (root / settings.folder).resolve()
    _check_names(settings)
    with explain_full_disk(home, 0, "prepare the data"), data_lock(home, report):
        old = read_manifest(folder) if has_manifest(folder) else None
        if old is None:
            _refuse_lost_manifest(folder)
        sources = [open_source(source, root=root, home=home, report=report) for source in settings.sources]
        _make_folder(folder)
        preparation = _Preparation(folder, settings, home, report)
        batches = [preparation.batch_of(source) for source in sources]
        batches += [preparation.repacked(batch) for batch in old.batches if batch.is_added] if old else []
        return preparation.finish(old, batches)


class _Preparation:
    """One run over all batches, which remembers what it did to say so."""

    def __init__(self, folder: Path, settings: DataSettings, home: Path, report: Report) -> None:
        self.folder, self.settings, self.report = folder, settings, report
        self.rules: Rules = rules_of(settings)
        self.quarantine = home / "quarantine"
        self.state = state_of(folder, home)
        self.packed: list[str] = []

    def batch_of(self, source: Source) -> Batch:
        """Return the source's batch, packed anew if the source, the rules or the shards changed."""
        batch = self.state.find(source, self.rules)
        if batch is None:
            batch = self._pack(source, is_added=False)
            self.state.remember(source, self.rules, batch)
        return batch

    def repacked(self, batch: Batch) -> Batch:
        """Return an added batch as it is, or from its own shards if the rules changed."""
        if not has_shards(self.folder, batch):
            raise DataError(f"{self.folder} lost shards of {batch.name!r}, which no source has: {RESTORE}")
        return batch if batch.rules == self.rules.digest else self._pack(open_packed(self.folder, batch), is_added=True)

    def finish(self, old: Manifest | None, batches: Sequence[Batch]) -> Dataset:
        """Return the dataset of these batches; the old one where they are those it has."""
        if old is not None and old.batches == tuple(batches):
            manifest = old
            check_manifest(manifest, self.settings, self.quarantine)
        else:
            self.report("check the dataset", 0, 0)
            manifest = assemble(self.folder, batches, self.settings, quarantine=self.quarantine)
        sweep(self.folder, {shard.file for shard in manifest.shards})
        return dataset_of(self.folder, manifest, self._reason(batches))

    def _pack(self, source: Source, *, is_added: bool) -> Batch:
        self.packed.append(source.name)
        return pack_source(
            source,
            self.folder,
            self.rules,
            quarantine=self.quarantine / f"{source.name}.jsonl",
            max_share=self.settings.max_quarantined_share,
            is_added=is_added,
            report=self.report,
        )

    def _reason(self, batches: Sequence[Batch]) -> str:
        reused = [batch.name for batch in batches if batch.name not in self.packed]
        if not self.packed:
            return f"reused: files, rules and shards of {', '.join(reused)} are unchanged"
        kept = f", {', '.join(reused)} unchanged and reused" if reused else ""
        return f"packed {', '.join(self.packed)}: new or changed{kept}"


def _check_names(settings: DataSettings) -> None:
    names = [source.name or source.kind for source in settings.sources]
    doubled = sorted(name for name, count in Counter(names).items() if count > 1)
    if doubled:
        raise ConfigError(f"data.sources: two are called {doubled[0]!r}; give one of them another `name`")
    for name in names:
        if name.startswith(ADDED) or not name.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(
                f"data.sources: {name!r} cannot be a name; use letters, digits, - and _, and do not begin with {ADDED}"
            )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"data.folder = {folder} cannot be made: {error.strerror}; set it to another folder") from error


def _refuse_lost_manifest(folder: Path) -> None:
    """Stop before added batches are swept away because the file that names them is gone."""
    if not folder.is_dir():
        return
    added = [path.name for path in sorted(folder.iterdir()) if path.name.startswith(ADDED) and NAME.match(path.name)]
    if added:
        raise DataError(
            f"{folder} has {len(added)} shards of added batches ({added[0]} ...) and no manifest.json: {RESTORE}"
        )
