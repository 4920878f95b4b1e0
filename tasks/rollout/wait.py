"""Waiting for the controller's answer to a release or a rollback: what a flow does after it has asked."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.errors import ReleaseError
from tasks.rollout.status import Outcome, find_answer, is_writer_alive, read_status

POLL_S = 0.1
START_S = 30.0  # a controller that is starting imports MLflow first

Report = Callable[[str], None]


def wait_for_release(home: Path, request_id: str, report: Report, *, timeout_s: float) -> Outcome:
    """Return the controller's answer to a request; `report` is told of each phase as it is entered.

    Raises:
        ReleaseError: no controller runs, or it has not answered within `timeout_s`: the request stands; or another
            request came after this one before it was begun: it never will be.
    """
    began_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    started = time.monotonic()
    last_alive = started
    phase = ""
    while True:
        status = read_status(home)
        if (outcome := find_answer(status, request_id)) is not None:
            return outcome
        if newer := superseding(status, request_id, began_at):
            what = "a rollback" if newer["action"] == "rollback" else f"version {newer['version']}"
            raise ReleaseError(
                f"superseded by request {newer['id']} of {newer['who']} for {what}: it was asked for before this one "
                "was begun; ask again if this one is still wanted"
            )
        now = time.monotonic()
        if is_writer_alive(status):
            last_alive = now
        elif now - last_alive > START_S:
            raise ReleaseError(
                f"no controller answers for {home} (last error: {last_error(status)}): start it with "
                "`evergreen up`; it will take up the request"
            )
        if now - started > timeout_s:
            raise ReleaseError(
                f"the controller has not answered within {timeout_s:g} s (phase {phase or 'not begun'}, last error: "
                f"{last_error(status)}); the request stands, `evergreen status` shows what becomes of it"
            )
        if (found := phase_of(status, request_id)) != phase:
            phase = found
            report(phase)
        time.sleep(POLL_S)


def superseding(status: Mapping[str, Any] | None, request_id: str, asked_before: str) -> Mapping[str, Any] | None:
    """Return the newer request because of which the controller will never begin this one, None where there is none.

    The registry keeps the latest request only. One that was begun is answered: it is the release in the state file.
    `asked_before` is a time by which this one stood in the registry, as `asked_at` writes it: UTC, ISO 8601.
    """
    desired: Mapping[str, Any] | None = ((status or {}).get("registry") or {}).get("desired")
    if desired is None or desired["id"] == request_id or phase_of(status, request_id):
        return None
    return desired if desired["asked_at"] > asked_before else None


def phase_of(status: Mapping[str, Any] | None, request_id: str) -> str:
    """Return the phase of a request's release; empty before it begins."""
    release = (status or {}).get("release") or {}
    return str(release["phase"]) if release.get("request_id") == request_id else ""


def last_error(status: Mapping[str, Any] | None) -> str:
    """Return the controller's last error, or 'none'."""
    return str((status or {}).get("last_error") or "none")
