"""The controller's memory: the open release and the answers given, on disk before anything is done about them."""

import dataclasses
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import psutil

from tasks.registry.registry import Registry
from tasks.rollout.facts import Facts
from tasks.rollout.observe import RegistryFacts
from tasks.rollout.phases import ReleaseState
from tasks.rollout.status import HEARTBEAT_S, add_answer, read_status, release_of, write_status

log = logging.getLogger(__name__)


class Journal:
    """The release that holds, `state`, kept in the state file of `home` and in a tag of its version.

    Raises:
        ReleaseError: the state file is damaged.
    """

    def __init__(self, home: Path, registry: Registry, token: int) -> None:
        status = read_status(home) or {}
        self.state = release_of(status)
        self.registry_facts = RegistryFacts.from_json(status["registry"]) if status.get("registry") else None
        self.has_tag_to_write = self.state is not None  # an earlier controller may have ended before it wrote it
        self._answers: dict[str, Any] = status.get("answers") or {}
        self._home = home
        self._registry = registry
        self._token = token
        self._pid_started_s = psutil.Process().create_time()
        self._written: dict[str, Any] = status  # what is not known yet stays as it was known last

    def recall(self) -> None:
        """Take the release from its version's tag where the state file was lost: what failed is not tried again.

        Raises:
            RegistryError: MLflow cannot be reached.
        """
        desired = self._registry.desired()
        if self.state is not None or desired is None or desired.version is None:
            return
        text = self._registry.read_release_state(desired.version)
        try:
            found = ReleaseState.from_json(json.loads(text)) if text else None
        except ValueError as error:
            log.warning("the release state of version %s is left out: %s", desired.version, error)
            return
        if found is not None and found.request_id == desired.id:
            self.state = found

    def write_tag(self, state: ReleaseState) -> None:
        """Write a release to its version's tag; one that names no version has none.

        Raises:
            RegistryError: MLflow cannot be reached: `has_tag_to_write` stays set.
        """
        self.has_tag_to_write = True
        if state.version is not None:
            self._registry.write_release_state(state.version, json.dumps(self._signed(state).to_json(), sort_keys=True))
        self.has_tag_to_write = False

    def catch_up(self) -> None:
        """Write the tag that an outage kept from being written.

        Raises:
            RegistryError: MLflow cannot be reached.
        """
        if self.has_tag_to_write and self.state is not None:
            self.write_tag(self.state)

    def adopt(self, state: ReleaseState) -> None:
        """Make a release the one that holds; with its end, the answer to its request.

        Raises:
            OSError: the disk does not take it: the release before holds.
        """
        answers = add_answer(self._answers, state) if state.is_final else self._answers
        signed = self._signed(state)
        self._write({**self._written, "release": signed.to_json(), "phase": state.phase, "answers": answers})
        self.state, self._answers = signed, answers

    def report(self, parts: dict[str, Any]) -> None:
        """Write what others read: at once if it has changed, else as a heartbeat.

        Raises:
            OSError: the disk does not take it.
        """
        release = {"release": self.state.to_json(), "phase": self.state.phase} if self.state else {}
        values = {**self._written, "phase": None, "release": None, **release, "answers": self._answers, **parts}
        is_late = time.time() - self._written.get("heartbeat_s", 0.0) > HEARTBEAT_S
        if is_late or values != self._written:
            self._write(values)

    def _signed(self, state: ReleaseState) -> ReleaseState:
        return dataclasses.replace(state, token=self._token)

    def _write(self, values: dict[str, Any]) -> None:
        signature = {"pid": os.getpid(), "pid_started_s": self._pid_started_s, "token": self._token}
        values = {**values, **signature, "heartbeat_s": time.time()}
        write_status(self._home, values)
        self._written = values


def describe(facts: Facts, known: RegistryFacts, model: str, url: str) -> dict[str, Any]:
    """Return a tick's facts as the state file has them."""

    def version(found: Any, **more: Any) -> dict[str, Any] | None:
        return {"name": model, "version": found.version, "digest": found.digest, **more} if found else None

    servers = [
        {
            "id": server.id,
            "version": server.version,
            "port": server.port,
            "is_alive": server.is_alive,
            "is_ready": server.is_ready,
            "is_stopping": server.is_stopping,
            "log": server.log,
        }
        for server in facts.instances
    ]
    return {
        "champion": version(facts.champion, accuracy=known.accuracy),
        "previous": version(facts.previous),
        "router": {"url": url, "route": facts.route.to_json(), "is_live": facts.is_route_live},
        "instances": servers,
        "registry": known.to_json(),
    }
