"""What a supervisor hands to each worker that it starts, as one argument and in the environment."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from serving.settings import PREFIX, ServerSettings


@dataclass(frozen=True)
class Share:
    """Descriptors that the worker inherits, and its place among the others."""

    board: int
    workers: int
    number: int
    listeners: tuple[int, ...]  # the main port's, and the admin port's if there is one

    def to_json(self) -> str:
        """Return it as an argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Share":
        """Read it."""
        values = json.loads(text)
        return cls(**{**values, "listeners": tuple(values["listeners"])})


def settings_environment(settings: ServerSettings) -> Mapping[str, str]:
    """Return the variables that `parse_settings` reads these settings from."""
    return {PREFIX + field.name.upper(): str(getattr(settings, field.name)) for field in fields(settings)}
