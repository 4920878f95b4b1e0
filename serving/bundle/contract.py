"""The contract: what a bundle holds and promises, as `contract.json`."""

import dataclasses
import hashlib
import json
import math
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from serving.bundle.durable import read_json, write_durably

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
    write_durably(folder / CONTRACT, json.dumps(dataclasses.asdict(contract), indent=2, sort_keys=True) + "\n")
    return bundle_digest(folder)


def bundle_digest(folder: Path) -> str:
    """Return the bundle's digest: the SHA-256 of contract.json, which holds that of every other file."""
    return file_sha256(folder / CONTRACT)


def read_contract(folder: Path) -> Contract:
    """Read a bundle's contract.

    Raises:
        BundleError: no contract, not a JSON object, another format, a field that is missing, unknown or of
            another type, or a file outside the bundle.
    """
    path = folder / CONTRACT
    try:
        values = read_json(path)
    except ValueError as error:
        raise BundleError(str(error)) from error
    if values is None:
        raise BundleError(f"{folder} is no bundle: it has no {CONTRACT}")
    if values.get("format") != FORMAT:
        raise BundleError(f"{path} has format {values.get('format')!r}; this code reads {FORMAT}")
    _check_fields(values, _CONTRACT_FIELDS, str(path))
    files = []
    for number, file in enumerate(values["files"]):
        _check_fields(file, _FILE_FIELDS, f"{path}, files[{number}]")
        files.append(BundleFile(**file))
    return Contract(**{**values, "classes": tuple(values["classes"]), "files": tuple(files)})


def _is_list_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0  # a bool is an int too


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_inside(value: Any) -> bool:
    """Whether a file's path stays in the bundle; by the rules of Windows, which know those of other systems too."""
    return isinstance(value, str) and not PureWindowsPath(value).anchor and ".." not in PureWindowsPath(value).parts


_Field = tuple[Callable[[Any], bool], str]
_TEXT: _Field = (_is_text, "a text")
_COUNT: _Field = (_is_count, "a whole number")
_NUMBER: _Field = (_is_number, "a finite number")
_CONTRACT_FIELDS: dict[str, _Field] = {
    "classes": (_is_list_of(str), "a list of texts"),
    "channels": _COUNT,
    "size_px": _COUNT,
    "embedding_size": _COUNT,
    "architecture": _TEXT,
    "weights_sha256": _TEXT,
    "data_digest": _TEXT,
    "temperature": _NUMBER,
    "tolerance": _NUMBER,
    "files": (_is_list_of(dict), "a list of objects"),
    "format": _COUNT,
}
_FILE_FIELDS: dict[str, _Field] = {
    "path": (_is_inside, "a path inside the bundle, relative and without '..'"),
    "sha256": _TEXT,
    "size_bytes": _COUNT,
    "is_served": (lambda value: isinstance(value, bool), "true or false"),
}


def _check_fields(values: dict[str, Any], fields: dict[str, _Field], where: str) -> None:
    """Raise a BundleError unless `values` has exactly these fields, each as it must be."""
    if missing := sorted(fields.keys() - values.keys()):
        raise BundleError(f"{where} is incomplete: it lacks {', '.join(missing)}")
    if unknown := sorted(values.keys() - fields.keys()):
        raise BundleError(f"{where} has fields that this code does not know: {', '.join(unknown)}")
    for name, (is_right, expected) in fields.items():
        if not is_right(values[name]):
            raise BundleError(f"{where} has {name} {reprlib.repr(values[name])}; expected {expected}")


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
