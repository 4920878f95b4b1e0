"""Versions in a real MLflow database without a run: the registry's own tests cover how a run logs a bundle."""

import dataclasses
import datetime
import shutil
import uuid
from pathlib import Path
from urllib.parse import urlparse

from serving.bundle.contract import bundle_digest, read_contract, write_contract
from tasks.registry.bundle_cache import BUNDLE_PATH
from tasks.registry.record import DIGEST_TAG, DesiredRelease
from tasks.registry.stages import Stage
from tests.bundles import make_tiny_bundle


def register(registry, folder, *, seed):
    """Make a bundle from `seed`, register it as the challenger, and return its version."""
    artifacts = folder / f"logged-{uuid.uuid4().hex[:8]}"
    make_tiny_bundle(artifacts / BUNDLE_PATH, seed=seed)
    return register_logged(registry, artifacts)


def register_like(registry, folder, bundle):
    """Register a copy of `bundle` with a digest of its own: for servers that look at the golden answers only."""
    name = uuid.uuid4().hex
    artifacts = folder / f"logged-{name[:8]}"
    copy = shutil.copytree(bundle, artifacts / BUNDLE_PATH)
    write_contract(copy, dataclasses.replace(read_contract(copy), data_digest=name))
    return register_logged(registry, artifacts)


def register_logged(registry, artifacts):
    """Register the bundle in a logged model's artifacts as the challenger, and return its version."""
    bundle = artifacts / BUNDLE_PATH
    if registry.view().aliases == {} and not registry.client.search_registered_models(f"name = '{registry.model}'"):
        registry.client.create_registered_model(registry.model)
    made = registry.client.create_model_version(
        registry.model, artifacts.as_uri(), tags={DIGEST_TAG: bundle_digest(bundle)}
    )
    version = int(made.version)
    registry.set_alias("challenger", version)
    registry.set_stage(version, Stage.STAGING)
    return registry.version(version)


def ask(registry, action, version=None):
    """Ask for a release of a registered version, or for a rollback, and return the request's id."""
    desired = DesiredRelease(
        id=uuid.uuid4().hex,
        action=action,
        version=version and version.version,
        digest=version and version.digest,
        who="Ada",
        why="a test",
        asked_at=datetime.datetime.now(datetime.UTC).isoformat(),
    )
    registry.ask(desired)
    return desired.id


def bundle_of(registry, version):
    """Return the folder of a version's bundle in the artifact store."""
    return Path(urlparse(registry.version(version).source).path) / BUNDLE_PATH
