"""Versions of the dataset in DVC: the only module that imports dvc.

A version has two names: DVC's md5 of the folder, to restore it by, and the dataset's digest, which must match.
Runs write no tracked file: a version's .dvc text is kept in EVERGREEN_HOME; `pin_dataset` writes `data.dvc` for a
person to commit.
"""

import atexit
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import colorama  # type: ignore[import-untyped]
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.hashfile.build import build
from dvc_data.hashfile.checkout import checkout
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.transfer import transfer
from dvc_data.hashfile.tree import Tree
from dvc_objects.errors import ObjectDBError
from dvc_objects.fs.errors import AuthError, RemoteMissingDepsError
from dvc_objects.fs.errors import ConfigError as FileSystemError

from serving.bundle.durable import write_durably
from tasks.data.dataset import Dataset, DatasetVersion
from tasks.data.disk import space_for
from tasks.data.index import content_digest, read_kept
from tasks.data.lock import data_lock
from tasks.data.manifest import dataset_of, has_manifest, read_manifest, read_unchanged
from tasks.data.pinned import (
    HASH,
    PinnedBaseline,
    choose_version,
    compare_with_pinned,
    known_versions,
    parse_dvc_text,
    pin_dataset,
    read_pinned,
    version_file,
    version_text,
)
from tasks.data.sources.raw import report_nothing
from tasks.errors import DataError
from tasks.settings import DataSettings

__all__ = [
    "PinnedBaseline",
    "compare_with_pinned",
    "open_stores",
    "pin_dataset",
    "read_pinned",
    "restore_dataset",
    "restore_version",
    "version_dataset",
]

REMOTE = "evergreen"  # the name under which DVC sees an address from the settings
_TRANSFER_LOGGER = "dvc_data.hashfile.transfer"

# Importing dvc wraps sys.stdout and sys.stderr, and resets colours at exit; neither is dvc's to touch here. Above
# ERROR its progress bars stay away; what goes wrong comes as an exception.
colorama.deinit()
atexit.unregister(colorama.initialise.reset_all)
logging.getLogger("dvc").setLevel(logging.CRITICAL)


def version_dataset(dataset: Dataset, *, root: Path, remote: str, home: Path) -> DatasetVersion:
    """Put the dataset into the project's DVC cache and its remote, and keep its .dvc text in `home`.

    `remote` is an address, a folder (with a slash), or a remote's name in .dvc/config; empty: `<home>/dvc-remote`.

    Raises:
        DataError: the project has no .dvc folder, the remote cannot be written, no disk space.
    """
    address = remote_address(remote, root=root, home=home)
    with data_lock(home, report_nothing), _open_repo(root, address, home) as repo:
        needed = sum(shard.size_bytes for shard in read_unchanged(dataset).shards)
        cache = repo.cache.local
        with space_for(root / ".dvc", 2 * needed, "version the data"):  # in the cache, and a remote on the same disk
            staging, meta, tree = build(cache, str(dataset.folder), repo.fs, HASH, ignore=repo.dvcignore)
            _copy(staging, cache, tree.hash_info)
            _copy(cache, _remote_store(repo, address), tree.hash_info)
    md5 = str(tree.hash_info.value)
    text = version_text(dataset, md5=md5, size_bytes=int(meta.size or 0), n_files=int(meta.nfiles or 0))
    write_durably(version_file(home, dataset.digest), text)
    return DatasetVersion(dataset, md5, text, address)


def restore_dataset(dvc_text: str, *, folder: Path, root: Path, remote: str, home: Path) -> Dataset:
    """Bring the version that a .dvc text names back into `folder`, from the cache or the remote, and verify its digest.

    What `folder` held is replaced once the version is complete beside it.

    Raises:
        DataError: a shard is in neither place, or what came back has another digest.
    """
    wanted, address = parse_dvc_text(dvc_text, "the .dvc text"), remote_address(remote, root=root, home=home)
    with data_lock(home, report_nothing), _folder_beside(folder) as draft:
        with space_for(draft, 0, "restore the data"), _open_repo(root, address, home) as repo:
            _check_out(repo, wanted.md5, draft, address)
        manifest = read_manifest(draft)
        found = content_digest(read_kept(draft, manifest))
        if not found == manifest.digest == wanted.digest:
            raise DataError(
                f"DVC's {wanted.md5} holds digest {found}, its .dvc text says {wanted.digest}: "
                "do not use it; prepare the data anew from its sources"
            )
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    return dataset_of(folder, manifest, f"restored DVC version {wanted.md5}")


def restore_version(digest: str | None, *, settings: DataSettings, root: Path, home: Path) -> Dataset:
    """Bring a version back into the data folder: that whose digest begins with `digest`, or the newest for None.

    The newest is the last that a run kept in `home`; where there is none, it is the pinned baseline.

    Raises:
        DataError: an unknown digest, with those that are known; a data folder whose content is in no version and
            would be lost; what `restore_dataset` raises.
    """
    folder = (root / settings.folder).resolve()
    known = known_versions(home, read_pinned(root, settings.folder))
    text = choose_version(digest, known)
    if folder.is_dir() and any(folder.iterdir()):
        held = read_manifest(folder).digest if has_manifest(folder) else "without a manifest"
        if held not in known:
            raise DataError(
                f"{folder} holds a dataset ({held[:18]}) of which no version is kept, and which would be lost: "
                "run `evergreen run`, which keeps one, or move the folder away"
            )
    return restore_dataset(text, folder=folder, root=root, remote=settings.remote, home=home)


def remote_address(remote: str, *, root: Path, home: Path) -> str:
    """Return the address of the remote: the setting, a folder below the project made absolute, or home's own."""
    if not remote:
        return str(home / "dvc-remote")
    return remote if "://" in remote or _is_named(remote) else str((root / remote).resolve())


@contextmanager
def open_stores(root: Path, remote: str, home: Path) -> Iterator[tuple[Any, Any]]:
    """Yield DVC's two stores of objects by their md5: the project's cache, and the remote."""
    address = remote_address(remote, root=root, home=home)
    with _open_repo(root, address, home) as repo:
        yield repo.cache.local, _remote_store(repo, address)


@contextmanager
def _folder_beside(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder`, which is removed unless the block renames it; what a kill left goes too."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f".{folder.name}-restoring-*"):
        shutil.rmtree(leftover)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-restoring-", dir=folder.parent))
    draft.chmod(0o755)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _open_repo(root: Path, address: str, home: Path) -> Iterator[Any]:
    """Open the project's DVC repository: its state in `home`, no git."""
    remotes = {} if _is_named(address) else {REMOTE: {"url": address}}
    core = {"analytics": False, "check_update": False, "no_scm": True, "site_cache_dir": str(home / "dvc")}
    try:
        with Repo(str(root), config={"core": core, "remote": remotes}) as repo:
            yield repo
    except (DvcException, ObjectDBError, AuthError, FileSystemError, RemoteMissingDepsError, OSError) as error:
        raise DataError(
            f"DVC failed in {root} with the remote {address}: {error}; a project needs its .dvc folder (`dvc init`), "
            "and data.remote an address that can be written"
        ) from error


def _is_named(address: str) -> bool:
    """Say whether this is the name of a remote in .dvc/config: an address or a folder has a slash."""
    return "/" not in address and "\\" not in address


def _remote_store(repo: Any, address: str) -> Any:
    return repo.cloud.get_remote_odb(address if _is_named(address) else REMOTE)


def _check_out(repo: Any, md5: str, folder: Path, address: str) -> None:
    """Fetch what the cache lacks from the remote and copy the version into `folder`."""
    cache, wanted = repo.cache.local, HashInfo(HASH, md5)
    try:
        if not _is_complete(cache, wanted):
            _copy(_remote_store(repo, address), cache, wanted, verify=True)
        checkout(str(folder), repo.fs, Tree.load(cache, wanted), cache, force=True)
    except FileNotFoundError as error:
        raise DataError(
            f"data version {md5} is in neither the DVC cache nor the remote {address}: set data.remote to where it was "
            "pushed, or prepare the data anew from its sources"
        ) from error


def _is_complete(cache: Any, wanted: HashInfo) -> bool:
    try:
        tree = Tree.load(cache, wanted)
    except FileNotFoundError:
        return False
    return all(cache.exists(entry.value) for _, _, entry in tree)


def _copy(source: Any, target: Any, wanted: HashInfo, *, verify: bool = False) -> None:
    """Copy a version from one of DVC's stores to another, with the reason if a file does not arrive."""
    reasons = _Reasons(logging.ERROR)
    logger = logging.getLogger(_TRANSFER_LOGGER)
    logger.addHandler(reasons)
    try:
        result = transfer(source, target, {wanted}, shallow=False, verify=verify)
    finally:
        logger.removeHandler(reasons)
    if result.failed:
        raise DataError(
            f"{target.fs.unstrip_protocol(target.path)} did not take {len(result.failed)} files: "
            f"{'; '.join(dict.fromkeys(reasons.found))}. See that it is there, writable and not full"
        )


class _Reasons(logging.Handler):
    """What dvc logs of a file that failed: it returns only that it did."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(str(record.exc_info[1] if record.exc_info else record.getMessage()))
