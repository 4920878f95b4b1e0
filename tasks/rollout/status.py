"""The controller's state file: what it resumes from, and what others read without MLflow.

<home>/controller/state.json is replaced at each change, and every `HEARTBEAT_S` while nothing changes.
"""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from serving.bundle.durable import read_json, write_json
from tasks.errors import ReleaseError
from tasks.process_identity import is_process_alive
from tasks.rollout.phases import Phase, ReleaseState

HEARTBEAT_S = 2.0
STALE_AFTER_S = 60.0  # fetching a large bundle is one step, and the controller is silent meanwhile
KEPT_ANSWERS = 50


@dataclass(frozen=True)
class Outcome:
    """The controller's answer to a request; `phase_s` has the seconds spent in each phase, in order."""

    request_id: str
    action: str
    version: int | None
    is_success: bool
    reason: str
    phase_s: dict[str, float]

    @classmethod
    def of(cls, state: ReleaseState) -> Self:
        """Return the outcome of a release that is over."""
        phase_s: dict[str, float] = {}
        for (phase, start_s), (_, end_s) in zip(state.times, state.times[1:], strict=False):
            phase_s[phase] = phase_s.get(phase, 0.0) + end_s - start_s
        is_success = state.phase is Phase.SUCCEEDED
        return cls(state.request_id, state.action, state.version, is_success, state.reason, phase_s)


def status_path(home: Path) -> Path:
    """Return where the controller of `home` writes its state."""
    return home / "controller" / "state.json"


def read_status(home: Path) -> dict[str, Any] | None:
    """Return what the controller wrote last, None where it never ran.

    Raises:
        ReleaseError: the file is damaged.
    """
    try:
        return read_json(status_path(home))
    except ValueError as error:
        raise ReleaseError(f"{error}; stop the controller, remove the file, and start it again") from error


def write_status(home: Path, values: Mapping[str, Any]) -> None:
    """Replace the state file, durably."""
    write_json(status_path(home), values)


def release_of(status: Mapping[str, Any] | None) -> ReleaseState | None:
    """Return the release in a state file.

    Raises:
        ReleaseError: it cannot be read.
    """
    release = status and status.get("release")
    try:
        return ReleaseState.from_json(release) if release else None
    except ValueError as error:
        raise ReleaseError(f"the controller's state file: {error}") from error


def add_answer(answers: Mapping[str, Any], state: ReleaseState) -> dict[str, Any]:
    """Return the answers with that of a release that is over; the oldest give way."""
    others = {request: answer for request, answer in answers.items() if request != state.request_id}
    kept = dict(list(others.items())[1 - KEPT_ANSWERS :])
    return {**kept, state.request_id: dataclasses.asdict(Outcome.of(state))}


def find_answer(status: Mapping[str, Any] | None, request_id: str) -> Outcome | None:
    """Return the controller's answer to a request, None while there is none."""
    answer = ((status or {}).get("answers") or {}).get(request_id)
    return Outcome(**answer) if answer else None


def is_controller_alive(home: Path) -> bool:
    """Whether the controller of `home` runs, and has written its state lately.

    Raises:
        ReleaseError: the state file is damaged.
    """
    return is_writer_alive(read_status(home))


def is_writer_alive(status: Mapping[str, Any] | None) -> bool:
    """Whether the process that wrote a state file runs, and wrote it lately."""
    if status is None or time.time() - status["heartbeat_s"] > STALE_AFTER_S:
        return False
    return is_process_alive(status["pid"], float(status["pid_started_s"]))
