"""Real Envoy, real processes and a real MLflow database, on free ports of loopback and in temporary folders."""

import subprocess

import pytest

from tasks.rollout import controller
from tasks.rollout.engines.process import ProcessEngine, instance_folder, stop_all_instances
from tasks.rollout.router import local_router
from tasks.rollout.run_envoy import envoy_command
from tasks.settings import load_settings
from tests.bundles import make_tiny_bundle
from tests.rollout.running import make_project, stub_command, until
from tests.rollout.world import World


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Settings of a project of its own for each test file; the variables hold as long as the file's tests."""
    folder = tmp_path_factory.mktemp("project")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in make_project(folder, tracking_uri=uri).items():
            patch.setenv(name, value)
        patch.chdir(folder)
        settings = load_settings()
        yield settings
        stop_all_instances(settings.home, drain_s=0.0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", seed=1)


@pytest.fixture
def engine(tmp_path):
    """An engine of stub servers in a home of its own; what runs at the end is stopped."""
    yield ProcessEngine(instance_folder(tmp_path), command=stub_command)
    stop_all_instances(tmp_path, drain_s=0.0)


@pytest.fixture(scope="module")
def envoy(project):
    """A running Envoy and the router that writes its files."""
    router = local_router(project)
    log = project.root / "envoy.log"
    with log.open("ab") as stream:
        process = subprocess.Popen(envoy_command(project), stdout=stream, stderr=stream)
    try:
        until(router.is_live, what=f"Envoy ({log})")
        yield router
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def world(project, envoy, bundle):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controller, "REGISTRY_PAUSE_S", 0.0)
        patch.setattr(controller, "OUTAGE_PAUSE_S", 0.0)
        made = World(project, bundle)
        yield made
        made.stop()


@pytest.fixture
def champion(world):
    """A released version, with the one before it warm."""
    version = world.register()
    assert world.release(version).is_success
    world.settle()
    return version
