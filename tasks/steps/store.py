"""The folders of steps, `steps/<step>/<digest>/` in EVERGREEN_HOME: what is done, what is half done, what is in use.

A step is complete with its step.json, which is written last. One process at a time holds a folder; those that nobody
holds and that were not used lately are removed.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.bundle.durable import read_json, write_json
from tasks.steps.key import StepKey
from tasks.steps.lock import locked, locked_if_free

RECORD = "step.json"
FOLDER_DIGITS = 16  # of the key's digest, in a folder's name
KEPT = 8  # of each step: what a person goes back and forth between, and a half-done one or two; a resnet18 is 90 MB


@dataclass(frozen=True)
class StepRecord:
    """What a complete step says of itself: its key's digest and parts, and what it came to."""

    digest: str
    parts: Mapping[str, str]
    result: Mapping[str, Any]


@dataclass(frozen=True)
class StepFolder:
    """The folder of a step that this process holds."""

    path: Path
    key: StepKey

    @property
    def record(self) -> StepRecord | None:
        """What the step came to; None where it is not complete."""
        return read_record(self.path, self.key)

    def clear(self) -> None:
        """Remove all that is in the folder."""
        shutil.rmtree(self.path)
        self.path.mkdir()

    def complete(self, result: Mapping[str, Any]) -> None:
        """Write that the step is complete, and what it came to: values that JSON knows."""
        values = {"step": self.key.step, "digest": self.key.digest, "parts": dict(self.key.parts), "result": result}
        write_json(self.path / RECORD, values)


@dataclass(frozen=True)
class StepStore:
    """The steps in the folder `home`; of each, at least the `kept` folders that were used last stay."""

    home: Path
    kept: int = KEPT

    def folder(self, key: StepKey) -> Path:
        """Return where a step is, or would be."""
        return self.home / "steps" / key.step / key.digest[:FOLDER_DIGITS]

    def find(self, key: StepKey) -> StepRecord | None:
        """Return what a complete step came to; None where it is not."""
        return read_record(self.folder(key), key)

    def latest(self, step: str, **result: object) -> StepRecord | None:
        """Return the complete step that was used last, among those with these values in their result."""
        for folder in self._folders(step):
            record = read_record(folder)
            if record is not None and all(record.result.get(name) == value for name, value in result.items()):
                return record
        return None

    @contextlib.contextmanager
    def hold(self, key: StepKey, on_wait: Callable[[str], None]) -> Iterator[StepFolder]:
        """Hold a step's folder for the block; it is there, perhaps empty, and is the one that was used last."""
        folder = self.folder(key)
        with locked(_lock_of(folder), on_wait):
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)
            try:
                yield StepFolder(folder, key)
            finally:
                os.utime(folder)  # a training takes hours, in which others were used
        self._prune(key.step)

    def _prune(self, step: str) -> None:
        """Remove the folders that were not used lately, but none that a process holds."""
        for folder in self._folders(step)[self.kept :]:
            with locked_if_free(_lock_of(folder)) as is_free:
                if is_free:
                    shutil.rmtree(folder, ignore_errors=True)
                    _lock_of(folder).unlink(missing_ok=True)

    def _folders(self, step: str) -> list[Path]:
        """Return a step's folders, the one that was used last first."""
        parent = self.home / "steps" / step
        found = [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
        return sorted(found, key=_used_at, reverse=True)


def read_record(folder: Path, key: StepKey | None = None) -> StepRecord | None:
    """Return the record in a step's folder, if there is one and it is of `key`."""
    try:
        values = read_json(folder / RECORD) or {}
        record = StepRecord(values["digest"], values["parts"], values["result"])
    except (ValueError, KeyError):  # none, or damaged: as good as none, for the step is made again
        return None
    return record if key is None or record.digest == key.digest else None


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _used_at(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:  # removed by another process meanwhile
        return 0
