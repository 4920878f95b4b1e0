"""The contract: what a bundle holds and promises, as `contract.json`."""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

CONTRACT = "contract.json"
MODULE = "model.pt"
GOLDEN = "golden"
REFERENCE = "reference.parquet"
FORMAT = 1


class BundleError(Exception):
    """A bundle is incomplete, altered, or of a format this code does not know."""


@dataclass(frozen=True)
class BundleFile:
    """One file of a bundle; `path` is relative to the bundle, `is_served` says whether a server needs it."""

    path: str
    sha256: str
    size_bytes: int
    is_served: bool


@dataclass(frozen=True)
class Contract:
    """What a model takes and answers.

    `preprocess(image)` takes (C, H, W) uint8 with any C in {1, 3} and any H, W, and returns
    (channels, size_px, size_px) uint8; `forward(batch)` takes (N, channels, size_px, size_px) uint8 and
    returns probabilities (N, len(classes)) float32 and embeddings (N, embedding_size) float32.
    """

    classes: tuple[str, ...]
    channels: int
    size_px: int
    embedding_size: int
    architecture: str
    weights_sha256: str
    data_digest: str
    temperature: float
    tolerance: float
    files: tuple[BundleFile, ...]
    format: int = FORMAT


def describe_file(folder: Path, path: str, *, is_served: bool) -> BundleFile:
    """Return the entry of one file of the bundle `folder`."""
    file = folder / path
    return BundleFile(path, file_sha256(file), file.stat().st_size, is_served)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_contract(folder: Path, contract: Contract) -> str:
    """Write `contract.json` as the last file of a bundle and return the bundle's digest."""
    text = json.dumps(dataclasses.asdict(contract), indent=2, sort_keys=True) + "\n"
    draft = folder / f"{CONTRACT}.draft"
    with draft.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(folder / CONTRACT)
    return bundle_digest(folder)


def bundle_digest(folder: Path) -> str:
    """Return the bundle's digest: the SHA-256 of contract.json, which holds that of every other file."""
    return file_sha256(folder / CONTRACT)


def read_contract(folder: Path) -> Contract:
    """Read a bundle's contract.

    Raises:
        BundleError: no contract, not JSON, or another format.
    """
    try:
        values = json.loads((folder / CONTRACT).read_text())
    except FileNotFoundError as error:
        raise BundleError(f"{folder} is no bundle: it has no {CONTRACT}") from error
    except json.JSONDecodeError as error:
        raise BundleError(f"{folder / CONTRACT} is not JSON: {error}") from error
    if values.get("format") != FORMAT:
        raise BundleError(f"{folder / CONTRACT} has format {values.get('format')!r}; this code reads {FORMAT}")
    try:
        files = tuple(BundleFile(**file) for file in values.pop("files"))
        return Contract(**{**values, "classes": tuple(values["classes"]), "files": files})
    except (KeyError, TypeError) as error:
        raise BundleError(f"{folder / CONTRACT} is incomplete: {error}") from error


def verify_files(folder: Path, contract: Contract, *, served_only: bool) -> None:
    """Check that the files are those the contract names; a server leaves out what it does not serve.

    Raises:
        BundleError: a file is missing or its SHA-256 differs.
    """
    for file in contract.files:
        if served_only and not file.is_served:
            continue
        path = folder / file.path
        if not path.is_file():
            raise BundleError(f"{path} is missing: the contract names it")
        found = file_sha256(path)
        if found != file.sha256:
            raise BundleError(f"{path} was altered: SHA-256 {found}, the contract says {file.sha256}")
