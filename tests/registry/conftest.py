"""Each test of the registry stage has its own model and experiment in the one MLflow database."""

import uuid

import pytest

from serving.bundle.contract import bundle_digest
from tasks.registry.registry import Registry
from tasks.registry.tracking import Tracking
from tests.bundles import make_tiny_bundle


@pytest.fixture
def experiment(client, tmp_path):
    name = f"experiment-{uuid.uuid4().hex[:12]}"
    client.create_experiment(name, artifact_location=(tmp_path / "artifacts").as_uri())
    return name


@pytest.fixture
def registry(tracking_uri):
    return Registry(tracking_uri, f"model-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def tracking(tracking_uri):
    return Tracking(tracking_uri)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "a-name-of-its-own", seed=1)


@pytest.fixture(scope="session")
def digest(bundle):
    return bundle_digest(bundle)


@pytest.fixture(scope="session")
def requirements(tmp_path_factory):
    path = tmp_path_factory.mktemp("lock") / "serving.lock"
    path.write_text("numpy\ntorch\npillow\n")
    return path


@pytest.fixture
def logged(tracking, experiment, bundle, requirements):
    """A run with a logged bundle: (run id, the logged model's address)."""
    run = tracking.start_run(experiment, "train")
    return run.run_id, run.log_bundle(bundle, requirements=requirements)
