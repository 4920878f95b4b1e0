"""Moving versions: promote, roll back, reject; each finished or undone after a crash at any of its writes.

The order: an intent in the ledger; `previous`; `champion`, which is the commit point; then what follows from the
aliases (the challenger alias, stages and tags); a `done` in the ledger. Before the commit point a transition that was
cut short is undone, after it completed. Only the aliases decide; `settle` makes everything else agree with them.
"""

import dataclasses
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from tasks.errors import ConfigError
from tasks.registry.ledger import Entry, Ledger, LedgerAction
from tasks.registry.record import GATE_DIGEST_TAG, NO_PREVIOUS, RegistryView
from tasks.registry.registry import Registry
from tasks.registry.settling import settle


@dataclass(frozen=True)
class Transition:
    """What became of a transition: the champion before and after; `note` is a sentence for people."""

    action: LedgerAction
    from_version: int | None
    to_version: int | None
    is_changed: bool
    note: str


def promote(registry: Registry, ledger: Ledger, version: int, *, who: str, why: str) -> Transition:
    """Make `version` the champion and the champion before it `previous`.

    Raises:
        RegistryError: MLflow or the ledger failed; `finish_open_transition` brings the rest in order.
    """
    finish_open_transition(registry, ledger)
    view = registry.view()
    if view.champion == version:
        return Transition("promote", version, version, False, f"version {version} is the champion already")
    intent = begin(ledger, registry, view, "promote", version, who=who, why=why)
    if view.champion is not None:
        registry.set_alias("previous", view.champion)
    registry.set_alias("champion", version)
    return complete(registry, ledger, intent)


def roll_back(registry: Registry, ledger: Ledger, *, who: str, why: str) -> Transition:
    """Make `previous` the champion again and archive the version that is left; `previous` is then cleared.

    Raises:
        ConfigError: there is no previous version.
        RegistryError: MLflow or the ledger failed; `finish_open_transition` brings the rest in order.
    """
    finish_open_transition(registry, ledger)
    view = registry.view()
    if view.previous is None:
        raise ConfigError(f"{registry.model}: {NO_PREVIOUS}")
    intent = begin(ledger, registry, view, "rollback", view.previous, who=who, why=why)
    registry.set_alias("champion", view.previous)
    return complete(registry, ledger, intent)


def reject(registry: Registry, ledger: Ledger, version: int, *, who: str, why: str) -> Transition:
    """Archive a version that is not to be released; if it was the challenger, there is none afterwards.

    Raises:
        ConfigError: `version` is the champion, which only another release or a rollback replaces.
        RegistryError: MLflow or the ledger failed; `finish_open_transition` brings the rest in order.
    """
    finish_open_transition(registry, ledger)
    view = registry.view()
    if view.champion == version:
        raise ConfigError(f"version {version} of {registry.model} is the champion: roll back, or release another one")
    return complete(registry, ledger, begin(ledger, registry, view, "reject", version, who=who, why=why))


def finish_open_transition(registry: Registry, ledger: Ledger) -> Transition | None:
    """Finish or undo the transition that a crash cut short, and say what became of it; None if there is none.

    Raises:
        RegistryError: MLflow or the ledger failed; call it again.
    """
    intent = ledger.open_intent(registry.model)
    if intent is None:
        return None
    if intent.action == "reject" or registry.view().champion == intent.to_version:
        return complete(registry, ledger, intent)
    return undo(registry, ledger, intent)


def begin(
    ledger: Ledger,
    registry: Registry,
    view: RegistryView,
    action: LedgerAction,
    to_version: int,
    *,
    who: str,
    why: str,
) -> Entry:
    """Write and return the intent.

    Raises:
        RegistryError: also if there is no such version: then nothing is written.
    """
    intent = Entry(
        id=uuid.uuid4().hex,
        time=now(),
        model=registry.model,
        who=who,
        action=action,
        from_version=view.champion,
        to_version=to_version,
        previous_version=view.previous,
        why=why,
        gate_digest=registry.version(to_version).tags.get(GATE_DIGEST_TAG, ""),
        phase="intent",
    )
    ledger.append(intent)
    return intent


def complete(registry: Registry, ledger: Ledger, intent: Entry) -> Transition:
    """Do what follows the commit point, as often as needed, and close the intent."""
    view = registry.view()
    if view.previous is not None and (intent.action == "rollback" or view.previous == view.champion):
        registry.set_alias("previous", None)
    if view.challenger == intent.to_version:
        registry.set_alias("challenger", None)
    settle(registry)
    close(ledger, intent, "completed")
    before, after = intent.from_version, intent.to_version
    notes = {
        "promote": f"version {after} is the champion" + (f", version {before} is kept to go back to" if before else ""),
        "rollback": f"version {after} is the champion again, version {before} is archived",
        "reject": f"version {after} is archived",
    }
    return Transition(intent.action, before, after, True, notes[intent.action])


def undo(registry: Registry, ledger: Ledger, intent: Entry) -> Transition:
    """Put `previous` back as it was before an intent that never reached its commit point, and close the intent."""
    view = registry.view()
    if view.champion == intent.from_version and view.previous != intent.previous_version:
        registry.set_alias("previous", intent.previous_version)
    settle(registry)
    close(ledger, intent, "undone")
    note = f"the {intent.action} to version {intent.to_version} had not begun to count and was undone"
    return Transition(intent.action, view.champion, view.champion, False, note)


def close(ledger: Ledger, intent: Entry, outcome: Literal["completed", "undone"]) -> None:
    """Write the `done` of an intent."""
    ledger.append(dataclasses.replace(intent, time=now(), phase="done", outcome=outcome))


def now() -> str:
    """Return the time, UTC, as the ledger writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
