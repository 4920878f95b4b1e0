"""The worker that runs flows for Prefect's schedule and UI, and the deployments that name those flows."""

import os
import subprocess
import sys

from tasks.errors import StackError
from tasks.settings import Settings
from tasks.stack.services import Service, flow_environment

POOL = "evergreen"  # the work pool in prefect.yaml


def worker(settings: Settings) -> Service:
    """Return a worker that runs each flow in a process of its own."""
    return Service(
        name="worker",
        command=(sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"),
        is_healthy=lambda: True,  # it has no port: that its process runs is all there is to ask
        address=f"runs what the pool {POOL!r} gets",
        environment=flow_environment(settings),
    )


def deploy(settings: Settings) -> None:
    """Tell Prefect the deployments in prefect.yaml, making their pool where it is missing.

    Raises:
        StackError: Prefect refused, with what it said.
    """
    prefect = (sys.executable, "-m", "prefect", "--no-prompt")
    for arguments in (("work-pool", "create", POOL, "--type", "process", "--overwrite"), ("deploy", "--all")):
        done = subprocess.run(
            (*prefect, *arguments),
            check=False,
            cwd=settings.root,
            env={**os.environ, **flow_environment(settings)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise StackError(f"prefect {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
