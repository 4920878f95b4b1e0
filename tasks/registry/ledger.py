"""The ledger: who put which version where, when and why, as JSON lines that are only ever appended to.

A line is flushed to the disk before `append` returns, under a lock that keeps writers of other processes out.
A line that a crash cut short was never acknowledged: readers leave it out and say so, and the next append
moves it to a file beside the ledger.
"""

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from serving.bundle.durable import sync
from tasks.errors import RegistryError

log = logging.getLogger(__name__)

LedgerAction = Literal["promote", "rollback", "reject"]


@dataclass(frozen=True)
class Entry:
    """One line: a transition that was begun (`intent`) or closed (`done`, with its outcome).

    `from_version` is the champion before, `to_version` the champion after; for a rejection, the version rejected.
    `previous_version` is the version that `previous` named before, so that an interrupted transition can be undone.
    """

    id: str
    time: str
    model: str
    who: str
    action: LedgerAction
    from_version: int | None
    to_version: int | None
    previous_version: int | None
    why: str
    gate_digest: str
    phase: Literal["intent", "done"]
    outcome: Literal["", "completed", "undone"] = ""


class Ledger:
    """The ledger file at `path`; it need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn_path = path.with_name(path.name + ".torn")

    def append(self, entry: Entry) -> None:
        """Write an entry; when this returns, it survives a power cut.

        Raises:
            RegistryError: the file cannot be written.
        """
        line = json.dumps(dataclasses.asdict(entry), sort_keys=True).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as stream, locked(stream, fcntl.LOCK_EX):
                self._mend_tail(stream)
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
            sync(self.path.parent)  # the name of a new file
        except OSError as error:
            raise RegistryError(
                f"the ledger {self.path} cannot be written: {error}; make room or give write access to it"
            ) from error

    def read(self) -> tuple[Entry, ...]:
        """Return the entries, oldest first; a last line that a crash cut short is left out and logged.

        Raises:
            RegistryError: the file cannot be read, or a line in it is not an entry.
        """
        try:
            with self.path.open("rb") as stream, locked(stream, fcntl.LOCK_SH):
                data = stream.read()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise RegistryError(f"the ledger {self.path} cannot be read: {error}") from error
        whole, torn = split_tail(data)
        if torn:
            log.warning("%s: the last line was cut short by a crash and is left out: %r", self.path, torn)
        return tuple(self._entry(line, number) for number, line in enumerate(whole.splitlines(), start=1))

    def open_intent(self, model: str) -> Entry | None:
        """Return the intent of `model` that no `done` has closed, or None."""
        is_open: dict[str, Entry] = {}
        for entry in self.read():
            if entry.model != model:
                continue
            if entry.phase == "intent":
                is_open[entry.id] = entry
            else:
                is_open.pop(entry.id, None)
        return next(reversed(is_open.values()), None)

    def _entry(self, line: bytes, number: int) -> Entry:
        try:
            return Entry(**json.loads(line))
        except (TypeError, ValueError) as error:
            raise RegistryError(
                f"{self.path}:{number} is not a ledger entry ({error}): {line[:200]!r}; "
                "restore the file from a copy, or move that line elsewhere"
            ) from error

    def _mend_tail(self, stream: BinaryIO) -> None:
        """Complete a last line that lacks only its end, or move a torn one aside."""
        stream.seek(0)
        data = stream.read()
        whole, torn = split_tail(data)
        if torn:
            log.warning("%s: moving a line that a crash cut short to %s: %r", self.path, self.torn_path, torn)
            with self.torn_path.open("ab") as aside:
                aside.write(torn + b"\n")
                aside.flush()
                os.fsync(aside.fileno())
            stream.truncate(len(whole))
        elif data and not data.endswith(b"\n"):
            stream.write(b"\n")


def open_ledger(home: Path) -> Ledger:
    """Return the ledger that `home` keeps."""
    return Ledger(home / "ledger.jsonl")


@contextlib.contextmanager
def locked(stream: BinaryIO, operation: int) -> Iterator[None]:
    """Hold a lock on an open file."""
    fcntl.flock(stream, operation)
    try:
        yield
    finally:
        fcntl.flock(stream, fcntl.LOCK_UN)


def split_tail(data: bytes) -> tuple[bytes, bytes]:
    """Split a ledger's bytes into whole lines and what a crash left of a last one (usually nothing)."""
    start = data.rfind(b"\n") + 1
    tail = data[start:]
    try:
        json.loads(tail or b"{}")
    except ValueError:
        return data[:start], tail
    return data, b""


def history(ledger: Ledger) -> list[str]:
    """Return a line for each transition, oldest first; one that no `done` has closed says so."""
    intents: dict[str, Entry] = {}
    outcomes: dict[str, str] = {}
    for entry in ledger.read():
        if entry.phase == "intent":
            intents[entry.id] = entry
        else:
            outcomes[entry.id] = entry.outcome
    return [describe(entry, outcomes.get(entry.id, "open")) for entry in intents.values()]


def describe(entry: Entry, outcome: str) -> str:
    """Return one line for people: when, what, from, to, who, why, and the outcome where it is not the usual one."""
    versions = {"promote": f"{entry.from_version or '-'} -> {entry.to_version}", "reject": f"{entry.to_version}"}
    moved = versions.get(entry.action, f"{entry.from_version} -> {entry.to_version}")
    note = "" if outcome == "completed" else f" [{outcome}]"
    return f"{entry.time[:19]}Z  {entry.action:<8}  {moved:<10}  {entry.who}: {entry.why}{note}"
