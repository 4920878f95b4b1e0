"""What is already packed: for each source the key it was packed under, so that an unchanged one is reused.

This is a cache in EVERGREEN_HOME: it holds paths and times of this machine, and losing it costs a packing.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.bundle.durable import read_json, write_json
from tasks.data.manifest import Batch, batch_from_json
from tasks.data.rules import Rules
from tasks.data.sources.raw import Source


@dataclass(frozen=True)
class PackedState:
    """The file that remembers the packed sources of the dataset `folder`."""

    path: Path
    folder: Path

    def find(self, source: Source, rules: Rules) -> Batch | None:
        """Return the batch that this source was packed into, if neither it nor the rules nor its shards changed."""
        entry = self._read().get(source.name)
        if entry is None or entry["key"] != source_key(source, rules):
            return None
        batch = batch_from_json(entry["batch"])
        return batch if has_shards(self.folder, batch) else None

    def remember(self, source: Source, rules: Rules, batch: Batch) -> None:
        """Note that the source was packed into `batch`."""
        entry = {"key": source_key(source, rules), "batch": dataclasses.asdict(batch)}
        write_json(self.path, {**self._read(), source.name: entry})

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            return read_json(self.path) or {}
        except ValueError:  # a cache: unreadable is the same as empty
            return {}


def state_of(folder: Path, home: Path) -> PackedState:
    """Return the state that `home` keeps about the dataset in `folder`."""
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    return PackedState(home / "data" / f"{name}.json", folder)


def source_key(source: Source, rules: Rules) -> str:
    """Return what changes when the source must be packed anew."""
    return json.dumps([source.kind, source.fingerprint, rules.digest])


def has_shards(folder: Path, batch: Batch) -> bool:
    """Say whether the batch's shards are there, by name (which holds their SHA-256) and size."""
    paths = ((folder / shard.file, shard.size_bytes) for shard in batch.shards)
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)
