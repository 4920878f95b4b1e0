"""Fetching a version's bundle from MLflow into a cache by digest: whole and verified, or not there at all."""

import shutil
import tempfile
from pathlib import Path

import mlflow.artifacts

from serving.bundle.contract import BundleError, bundle_digest, read_contract, verify_files
from tasks.registry.client import reaching
from tasks.registry.record import ModelVersion, UnusableBundleError, is_digest

BUNDLE_PATH = "artifacts/bundle"  # in the logged model, see tasks.registry.bundle_model


def download(version: ModelVersion, cache: Path, address: str) -> Path:
    """Return the folder of a version's bundle, named by its digest below `cache`; fetched once, verified each time.

    Raises:
        RegistryError: MLflow cannot be reached.
        UnusableBundleError: its bundle is not there, or not the one that was registered.
    """
    if not version.digest:
        raise UnusableBundleError(
            f"version {version.version} of {version.name} has no bundle digest: it was not registered by Evergreen"
        )
    folder = cached_folder(cache, version.digest)
    if is_intact(folder, version.digest):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    with reaching(address, f"fetching the bundle of version {version.version} of {version.name}"):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetching-", dir=cache) as draft:
            uri = f"{version.source.rstrip('/')}/{BUNDLE_PATH}"
            if not mlflow.artifacts.list_artifacts(artifact_uri=uri, tracking_uri=address):
                raise UnusableBundleError(
                    f"version {version.version} of {version.name} has no bundle at {uri} any more; "
                    "release another version"
                )
            fetched = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=draft, tracking_uri=address))
            check(fetched, version)
            move(fetched, folder, version.digest)
    return folder


def cached_folder(cache: Path, digest: str) -> Path:
    """Return where `cache` keeps the bundle with a digest, whether or not it is there.

    Raises:
        UnusableBundleError: `digest` is none, and could name a folder elsewhere.
    """
    if not is_digest(digest):
        raise UnusableBundleError(
            f"{digest!r} is no bundle digest: expected 64 hexadecimal digits; release a version "
            "that Evergreen registered"
        )
    return cache / digest


def move(fetched: Path, folder: Path, digest: str) -> None:
    """Move a fetched bundle into its place, unless another process was faster: its folder is as good."""
    try:
        fetched.rename(folder)
    except OSError:
        if not is_intact(folder, digest):
            raise


def check(folder: Path, version: ModelVersion) -> None:
    """Raise an UnusableBundleError unless `folder` holds the bundle that was registered as `version`."""
    what = f"the bundle of version {version.version} of {version.name}"
    try:
        found = bundle_digest(folder)
        if found != version.digest:
            raise UnusableBundleError(
                f"{what} is not the one that was registered: its digest is {found}, the registry says "
                f"{version.digest}; release another version"
            )
        verify_files(folder, read_contract(folder), served_only=False)
    except (BundleError, FileNotFoundError) as error:
        raise UnusableBundleError(
            f"{what} (registered as {version.digest}) is damaged: {error}; release another version"
        ) from error


def is_intact(folder: Path, digest: str) -> bool:
    """Whether `folder` holds the bundle with this digest, every file as its contract says."""
    try:
        if bundle_digest(folder) != digest:
            return False
        verify_files(folder, read_contract(folder), served_only=False)
    except (BundleError, OSError):
        return False
    return True
