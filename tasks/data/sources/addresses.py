"""Addresses of sources: local paths and fsspec URLs (s3://, gs://, https://), listed with size and time."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec

from tasks.errors import DataError

_TIME_KEYS = ("mtime", "LastModified", "last_modified", "updated", "modified")  # by file system: local, s3, gcs ...


@dataclass(frozen=True)
class Address:
    """A file system and a path in it; `text` is what the person wrote."""

    fs: Any
    path: str
    text: str


@dataclass(frozen=True)
class FoundFile:
    """A listed file; `relative` is its path below the address, with `/`."""

    path: str
    relative: str
    size_bytes: int
    modified_at: str


def open_address(location: str, root: Path) -> Address:
    """Return the address `location`; a path without a protocol is relative to the folder `root`.

    Raises:
        DataError: nothing is there, or the protocol's package is missing.
    """
    is_path = "://" not in location and "::" not in location
    target = str(root / Path(location).expanduser()) if is_path else location
    try:
        fs, path = fsspec.core.url_to_fs(target)
        is_there = fs.exists(path)
    except ImportError as error:
        raise DataError(f"{location}: its protocol needs a package that is not installed: {error}") from error
    except (ValueError, OSError) as error:
        raise DataError(f"{location} cannot be opened: {error}; write a path or an address like s3://...") from error
    if not is_there:
        raise DataError(f"{target} does not exist: correct the location in evergreen.toml or on the command line")
    return Address(fs, path.rstrip("/"), location)


def list_files(address: Address) -> list[FoundFile]:
    """Return every file at or below the address, sorted by path; names that start with a dot are left out."""
    found = address.fs.find(address.path, detail=True)
    files = [_describe(address, path, info) for path, info in found.items() if info["type"] == "file"]
    return sorted((file for file in files if not _is_hidden(file.relative)), key=lambda file: file.relative)


def list_folders(address: Address) -> list[str]:
    """Return every folder below the address, relative to it, sorted."""
    found = address.fs.find(address.path, withdirs=True, detail=True)
    folders = (path[len(address.path) + 1 :] for path, info in found.items() if info["type"] == "directory")
    return sorted(folder.rstrip("/") for folder in folders if folder and not _is_hidden(folder))


def fingerprint(address: Address, files: Iterable[FoundFile]) -> str:
    """Return a SHA-256 over the names, sizes and times of a source's files."""
    lines = [(file.relative, file.size_bytes, file.modified_at) for file in files]
    return hashlib.sha256(json.dumps([address.path, lines]).encode()).hexdigest()


def _describe(address: Address, path: str, info: dict[str, Any]) -> FoundFile:
    relative = path[len(address.path) + 1 :] if path != address.path else path.rsplit("/", 1)[-1]
    return FoundFile(path, relative, int(info.get("size") or 0), _modified_at(info))


def _modified_at(info: dict[str, Any]) -> str:
    value = next((info[key] for key in _TIME_KEYS if info.get(key) is not None), None)
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC).isoformat()
    return value.isoformat() if isinstance(value, datetime) else str(value or "")


def _is_hidden(relative: str) -> bool:
    return any(part.startswith(".") for part in relative.split("/"))
