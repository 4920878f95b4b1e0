"""The key of a step: every fact that its result depends on, by name. Equal keys, equal results."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

SHOWN_DIGITS = 12  # of a SHA-256, in sentences
# Parts whose values are digests and tell nobody anything: the sentence says what they are of.
CONTENTS = {
    "code": "code of tasks.training",
    "code.evaluation": "code of tasks.evaluation",
    "code.pixels": "code that unpacks the images",
    "lock": "the dependency lock",
    "weights": "the trained weights",
    "weights_file": "the content of training.weights_file",
}
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class StepKey:
    """What a step's result depends on: fact -> value, such as "training.epochs" -> "8"."""

    step: str
    parts: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The SHA-256 over the step's name and all parts, in hex."""
        text = json.dumps({"step": self.step, "parts": dict(self.parts)}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def without(self, name: str) -> "StepKey":
        """Return the key that leaves one part open."""
        return dataclasses.replace(self, parts={part: value for part, value in self.parts.items() if part != name})


def as_part(value: object) -> str:
    """Return a value as it stands in a key: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def changed_parts(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return a sentence for each part that differs: "training.epochs: 8 -> 9", "code of tasks.training changed"."""
    names = [*new, *(name for name in old if name not in new)]
    return [describe_change(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def describe_change(name: str, old: str | None, new: str | None) -> str:
    """Return the sentence for one part; None is a part that the key does not have."""
    is_digest = _DIGEST.fullmatch(old or new or "") is not None and name != "data"  # which people know by its digest
    if name in CONTENTS or is_digest:
        return f"{CONTENTS.get(name, name)} {'changed' if old and new else 'is new' if new else 'is gone'}"
    return f"{name}: {shorten(old)} -> {shorten(new)}"


def shorten(value: str | None) -> str:
    """Return a value for people: digests cut short, and a word for none."""
    if not value:
        return "none"
    return value[:SHOWN_DIGITS] if _DIGEST.fullmatch(value) else value
