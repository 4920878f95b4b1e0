"""A server that an engine started: its record, one JSON file that outlives the controller."""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from serving.bundle.durable import read_json, write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerSpec:
    """What to serve: a bundle's folder and digest, the model's name and version, and the server's limits."""

    bundle: Path
    digest: str
    model_name: str
    version: int
    threads: int
    max_batch: int
    max_body_bytes: int
    drain_s: float


@dataclass(frozen=True)
class Instance:
    """A started server; times are epoch seconds, `port` is 0 until it listens.

    `pid_started_s` tells the process from a later one that was given the same pid. A controller that ends
    before `has_begun` takes the server with it: that it ended says nothing about the model.
    """

    id: str
    version: int
    digest: str
    pid: int
    pid_started_s: float
    started_s: float
    log: str
    port: int = 0
    has_begun: bool = False
    stopping_since_s: float | None = None

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return the instance of a record.

        Raises:
            ValueError: it is not one.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"not an instance's record: {error}") from error


class InstanceRecords:
    """The records in `folder`, one file an instance."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, instance: Instance) -> Instance:
        """Write an instance's record, durably, and return the instance."""
        write_json(self._path(instance.id), dataclasses.asdict(instance))
        return instance

    def read_all(self) -> tuple[Instance, ...]:
        """Return the recorded instances, oldest first; a file that is no record is logged and left alone."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                values = read_json(path)
                found += [Instance.from_json(values)] if values is not None else []
            except ValueError as error:
                log.warning("%s is left out: %s", path, error)
        return tuple(sorted(found, key=lambda instance: instance.started_s))

    def remove(self, instance: Instance) -> None:
        """Forget an instance; its log stays."""
        self._path(instance.id).unlink(missing_ok=True)

    def _path(self, instance_id: str) -> Path:
        return self.folder / f"{instance_id}.json"
