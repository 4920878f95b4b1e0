"""The real thing: the controller as a process, servers from real bundles, Envoy, MLflow's database, and kills."""

import contextlib
import os
import signal
import subprocess
import sys

import httpx
import psutil
import pytest

from tasks.errors import StackError
from tasks.registry.registry import Registry
from tasks.rollout.engines.process import ProcessEngine, instance_folder
from tasks.rollout.phases import Phase
from tasks.rollout.status import is_controller_alive, read_status
from tasks.rollout.wait import wait_for_release
from tests.bundles import make_images
from tests.rollout.registering import ask, bundle_of, register
from tests.rollout.running import PROJECT, Load, until

IMAGE = make_images(1, seed=5)[0].tobytes()
HEADERS = {"content-type": "application/octet-stream", "x-image-shape": "28,28"}
START_S = 90.0  # importing MLflow in a new process, on a machine that does other things too


@contextlib.contextmanager
def controller(settings, *arguments):
    """Run a controller; at the end it is stopped as `evergreen down` does it, and must end well."""
    command = [sys.executable, "-m", *(arguments or ("tasks.rollout",))]
    with (settings.root / "controller.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=settings.root, env=environment())
    try:
        yield process
        if process.poll() is None:
            process.terminate()
            assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def environment():
    return {**os.environ, "PYTHONPATH": str(PROJECT), "MLFLOW_DISABLE_TELEMETRY": "true"}


@pytest.fixture(scope="module")
def registry(project):
    return Registry(project.tracking_uri, project.model.name)


def release(project, registry, version):
    phases = []
    request = ask(registry, "release", version)
    outcome = wait_for_release(project.home, request, phases.append, timeout_s=START_S)
    return outcome, phases


def predict(project):
    return httpx.post(f"{project.router_url}/predict", content=IMAGE, headers=HEADERS, trust_env=False)


def served(project):
    """Return the versions of the route and those of the servers that run."""
    status = read_status(project.home)
    route = [target["version"] for share in status["router"]["route"] for target in share["targets"]]
    return route, sorted(server["version"] for server in status["instances"] if server["is_alive"])


def load(project):
    return Load(project.router_url, IMAGE, threads=2, limit=20_000, pause_s=0.05, headers=HEADERS)


def test_a_night_of_releases(project, envoy, registry):
    one = register(registry, project.root, seed=1)
    with controller(project) as process:
        until(lambda: is_controller_alive(project.home), timeout_s=START_S, what="the controller's start")

        outcome, phases = release(project, registry, one)
        assert outcome.is_success, outcome
        assert set(phases) <= {phase.value for phase in Phase}
        assert predict(project).headers["x-evergreen-version"] == "1"

        with load(project) as requests:
            two = register(registry, project.root, seed=2)
            assert release(project, registry, two)[0].is_success
            until(lambda: served(project) == ([2, 1], [1, 2]), what="previous kept warm")

            bad = register(registry, project.root, seed=3)
            (bundle_of(registry, bad.version) / "model.pt").write_bytes(b"tampered")
            outcome, _ = release(project, registry, bad)
            assert (outcome.is_success, "model.pt was altered" in outcome.reason) == (False, True)
            assert served(project) == ([2, 1], [1, 2])

            outcome = wait_for_release(project.home, ask(registry, "rollback"), print, timeout_s=START_S)
            assert outcome.is_success, outcome
            until(lambda: served(project) == ([1], [1]), what="the version that was left stopped")
            requests.wait_for(20)
        assert requests.failures == []
        assert requests.versions[0] == requests.versions[-1] == "1"
        assert "2" in requests.versions
        assert predict(project).json()["digest"] == one.digest

        servers = ProcessEngine(instance_folder(project.home)).list()
        command = [sys.executable, "-m", "tasks.rollout"]
        second = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=project.root, env=environment()
        )
        assert (second.returncode, f"process {process.pid}" in second.stdout) == (StackError.exit_code, True)
    assert [psutil.pid_exists(server.pid) for server in servers] == [True], "the servers go on"
    assert predict(project).status_code == 200


def test_a_controller_killed_in_each_phase_converges(project, envoy, registry):
    before = registry.view().champion
    version = register(registry, project.root, seed=4)
    request = ask(registry, "release", version)
    killed = []
    with load(project) as requests:
        for phase in (Phase.BOOTING, Phase.VERIFYING, Phase.PROGRESSING, Phase.PROMOTING):
            with controller(project, "tests.rollout.killed_controller", phase) as process:
                killed.append(process.wait(START_S))
            assert read_status(project.home)["phase"] == phase
            assert not is_controller_alive(project.home)
        with controller(project):
            outcome = wait_for_release(project.home, request, print, timeout_s=START_S)
            wanted = ([version.version, before], [before, version.version])
            until(lambda: served(project) == wanted, what="convergence")
    assert killed == [-signal.SIGKILL] * 4
    assert outcome.is_success
    assert requests.failures == []
    assert requests.versions[-1] == str(version.version)
    assert registry.champion().version == version.version
    assert [known.stage for known in registry.versions()].count("Production") == 1
