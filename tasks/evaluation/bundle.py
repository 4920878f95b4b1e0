"""What evaluation hands on: a finished bundle."""

from dataclasses import dataclass
from pathlib import Path

from serving.bundle.contract import Contract


@dataclass(frozen=True)
class Bundle:
    """A complete bundle in `folder`; `digest` is the SHA-256 of its contract.json, which names every other file's."""

    folder: Path
    contract: Contract
    digest: str
