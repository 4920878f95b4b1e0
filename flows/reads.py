"""What the command line reads without running a flow: files of the controller, health of the services, the router."""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tasks.errors import ConfigError, StackError
from tasks.registry.ledger import history, open_ledger
from tasks.rollout.status import is_controller_alive, read_status
from tasks.settings import Settings
from tasks.stack.services import Service, local_services
from tasks.stack.supervisor import is_up
from tasks.stack.worker import worker

PREDICT_TIMEOUT_S = 30.0


def read_state(settings: Settings) -> dict[str, Any]:
    """Return what is in production and what runs, as `status --json` prints it; every key is always there."""
    status = read_status(settings.home)
    known = status or {}
    services = (*local_services(settings), worker(settings))
    with ThreadPoolExecutor(len(services)) as pool:
        states = pool.map(lambda service: describe_service(settings, service), services)
        described = {service.name: state for service, state in zip(services, states, strict=True)}
    return {
        "champion": known.get("champion"),
        "previous": known.get("previous"),
        "router": {"url": settings.router_url, "route": known.get("router", {}).get("route")},
        "release": known.get("release"),
        "instances": known.get("instances", []),
        "last_error": known.get("last_error"),
        "mlflow_reachable": known.get("mlflow_reachable"),
        "is_current": is_controller_alive(settings.home),
        "services": described,
    }


def describe_service(settings: Settings, service: Service) -> dict[str, str]:
    """Return a service's state (up, starting, down) and address."""
    state = "down"
    if is_up(settings, service):
        state = "up" if service.is_healthy() else "starting"
    return {"state": state, "address": service.address}


def status_rows(state: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the state as labelled lines."""
    champion = state["champion"]
    if champion is None and state["mlflow_reachable"] is False:
        yield "in production", "unknown: MLflow, which holds the registry, does not answer"
    elif champion is None:
        yield "in production", "nothing yet: `evergreen run` trains and releases a model"
    else:
        accuracy = "unknown" if champion["accuracy"] is None else f"{champion['accuracy']:.4f}"
        yield "in production", f"{champion['name']} version {champion['version']}, accuracy {accuracy}"
        yield "digest", champion["digest"]
    if state["previous"] is not None:
        yield "to go back to", f"version {state['previous']['version']}, warm: `evergreen rollback`"
    yield "predictions", f"{state['router']['url']}/predict"
    for name, service in state["services"].items():
        yield name, f"{service['state']}  {service['address']}"
    if not state["is_current"] and champion is not None:
        yield "note", "no controller runs: this is what the last one wrote; `evergreen up` starts one"
    if state["last_error"]:
        yield "last error", state["last_error"]


def history_lines(settings: Settings, *, as_json: bool) -> Iterable[str]:
    """Return the ledger's transitions, a line each; as JSON the entries themselves."""
    ledger = open_ledger(settings.home)
    if as_json:
        return [json.dumps([dataclasses.asdict(entry) for entry in ledger.read()], indent=2)]
    return history(ledger) or ["nothing was released yet: `evergreen run` trains and releases a model"]


def predict_files(settings: Settings, images: list[Path]) -> list[tuple[str, str]]:
    """Return what the model in production says about each file.

    Raises:
        ConfigError: a file cannot be read, or the model cannot read it.
        StackError: nothing answers.
    """
    with httpx.Client(base_url=settings.router_url, timeout=PREDICT_TIMEOUT_S, trust_env=False) as client:
        return [(str(path), predict_file(client, path)) for path in images]


def predict_file(client: httpx.Client, path: Path) -> str:
    """Return the most probable classes of one image file.

    Raises:
        ConfigError: the file cannot be read, or the model cannot read it.
        StackError: nothing answers, or not as a model does.
    """
    try:
        body = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    try:
        answer = client.post("/predict", content=body, headers={"content-type": "application/octet-stream"})
    except httpx.HTTPError as error:
        raise StackError(f"nothing answers at {client.base_url}: {error}; `evergreen up` starts it") from error
    try:
        values = answer.json()
        if answer.is_client_error:
            raise ConfigError(f"{path}: {values['error']}")
        if answer.is_error:
            raise StackError(f"{client.base_url} answered {answer.status_code}: {values['error']}")
        ranked = [f"{top['label']} {top['probability']:.1%}" for top in values["predictions"][0]["top_k"][:3]]
        return f"{', '.join(ranked)} (version {values['version']})"
    except (ValueError, LookupError, TypeError) as error:
        raise StackError(
            f"{client.base_url} answered {answer.status_code} and not as a model does: {answer.text[:200]!r}; "
            "`evergreen doctor` says who listens there"
        ) from error
