"""A version's files as cache and remote have them, altered or not: for whoever must find what was changed."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.disk import space_for
from tasks.data.versioning import open_stores, remote_address
from tasks.errors import DataError


@dataclass(frozen=True)
class FetchedFile:
    """A file of a version: its name, its md5 as recorded and as found, and where it came from.

    The list of the version's files is one, with the version's md5 as its name.
    """

    name: str
    md5: str
    found_md5: str
    place: str

    @property
    def is_intact(self) -> bool:
        """Whether it is the file that was recorded."""
        return self.md5 == self.found_md5


def fetch_version(md5: str, folder: Path, *, root: Path, remote: str, home: Path) -> Iterator[FetchedFile]:
    """Copy the files of the version `md5` into the new `folder`, from the cache or else the remote, and yield each.

    The list of files comes first; where it was altered, nothing follows. The cache stays as it is.

    Raises:
        DataError: a file is in neither place, or the remote cannot be read.
    """
    address = remote_address(remote, root=root, home=home)
    folder.mkdir(parents=True)
    with space_for(folder, 0, "restore the data"), open_stores(root, remote, home) as stores:
        listing = fetch(stores, md5, folder / ".files", address)
        entries = (folder / ".files").read_bytes()
        (folder / ".files").unlink()
        yield FetchedFile(md5, md5.removesuffix(".dir"), listing.found_md5, listing.place)
        if listing.found_md5 != md5.removesuffix(".dir"):
            return
        for entry in json.loads(entries):
            path = folder / entry["relpath"]
            path.parent.mkdir(parents=True, exist_ok=True)
            yield fetch(stores, entry["md5"], path, address, name=entry["relpath"])


def fetch(stores: Iterable[Any], md5: str, path: Path, address: str, name: str = "") -> FetchedFile:
    """Copy an object from the first of DVC's stores that has it to the file at `path`.

    Raises:
        DataError: none has it.
    """
    for store in stores:
        if store.exists(md5):
            place = store.oid_to_path(md5)
            store.fs.get_file(place, str(path))
            return FetchedFile(name, md5, file_md5(path), str(store.fs.unstrip_protocol(place)))
    raise DataError(
        f"data object {md5} is in neither the DVC cache nor the remote {address}: name the remote that the version was "
        "pushed to, as data.remote or with --data-remote"
    )


def file_md5(path: Path) -> str:
    """Return the md5 of a file's bytes, in hex: DVC's name for it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
