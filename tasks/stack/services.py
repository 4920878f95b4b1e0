"""The services of the local stack: how each is started, and how one sees that it is up."""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tasks.rollout.status import is_controller_alive
from tasks.settings import Settings

HEALTH_TIMEOUT_S = 2.0
QUIET = {"DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Service:
    """One background process; `ports` must be free before it starts, each with the setting that moves it.

    `reads` is what of the settings it reads by itself: it is started anew where that, or the command, changed.
    """

    name: str
    command: tuple[str, ...]
    is_healthy: Callable[[], bool]
    address: str  # what a person opens, or a sentence
    ports: dict[int, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    reads: str = ""
    start_timeout_s: float = 180.0
    grace_s: float = 10.0

    @property
    def key(self) -> str:
        """A digest of all that decides how the process runs."""
        values = [self.command, sorted(self.environment.items()), self.reads]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def local_services(settings: Settings) -> tuple[Service, ...]:
    """Return the services in the order of their start."""
    return prefect_server(settings), mlflow_server(settings), router(settings), controller(settings)


def flow_environment(settings: Settings) -> dict[str, str]:
    """Return the variables of a process that runs flows against the local Prefect server, without a word on stderr."""
    return {
        **prefect_environment(settings),
        "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # an error is shown once, as the command's message
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }


def prefect_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that the Prefect server and those who talk to it share."""
    return {
        "PREFECT_API_URL": f"http://{settings.stack.host}:{settings.stack.prefect_port}/api",
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        **QUIET,
    }


def prefect_server(settings: Settings) -> Service:
    """Return Prefect's server with its UI; it migrates its SQLite database when it starts."""
    host, port = settings.stack.host, settings.stack.prefect_port
    url = f"http://{host}:{port}"
    return Service(
        name="prefect",
        command=(sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)),
        is_healthy=lambda: answers(f"{url}/api/health"),
        address=url,
        ports={port: "stack.prefect_port"},
        environment=prefect_environment(settings),
    )


def mlflow_server(settings: Settings) -> Service:
    """Return MLflow's server with its UI, over SQLite and a folder of artifacts.

    One worker: the default four need 24 s more to start here and 0.5 GB more memory.
    """
    host, port, folder = settings.stack.host, settings.stack.mlflow_port, settings.tracking_folder
    url = f"http://{host}:{port}"
    stores = (
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--artifacts-destination", str(folder / "artifacts")),
    )
    command = (sys.executable, "-m", "mlflow", "server", *stores, "--host", host, "--port", str(port), "--workers", "1")
    return Service(
        name="mlflow",
        command=command,
        is_healthy=lambda: answers(f"{url}/health"),
        address=url,
        ports={port: "stack.mlflow_port"},
        environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", **QUIET},
    )


def router(settings: Settings) -> Service:
    """Return Envoy, which watches the files that the controller writes."""
    admin = settings.stack.router_admin_port
    return Service(
        name="router",
        command=(sys.executable, "-m", "tasks.rollout.run_envoy"),
        is_healthy=lambda: answers(f"http://127.0.0.1:{admin}/ready"),
        address=settings.router_url,
        ports={settings.stack.router_port: "stack.router_port", admin: "stack.router_admin_port"},
        reads=settings.stack.model_dump_json(include={"host", "router_port", "router_admin_port"}),
    )


def controller(settings: Settings) -> Service:
    """Return the release controller; it reads the settings file that this process read."""
    return Service(
        name="controller",
        command=(sys.executable, "-m", "tasks.rollout"),
        is_healthy=lambda: is_controller_alive(settings.home),
        address="releases what the registry asks for",
        environment={"MLFLOW_DISABLE_TELEMETRY": "true", **QUIET},
        reads=settings.model_dump_json(include={"model", "release", "serving", "stack"}) + settings.tracking_uri,
    )


def answers(url: str) -> bool:
    """Whether `url` answers 200 within two seconds."""
    try:
        return httpx.get(url, timeout=HEALTH_TIMEOUT_S, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def services_folder(settings: Settings) -> Path:
    """Return where the records and logs of the services are."""
    return settings.home / "services"
