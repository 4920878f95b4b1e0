"""The settings of one run: the project's, with what the run's arguments replace."""

from collections.abc import Mapping
from typing import Any

from tasks.errors import ConfigError
from tasks.settings import Settings, load_settings

PER_RUN = ("data", "training", "gates")  # the controller and the services read the others from the file


def settings_for_run(overrides: Mapping[str, Any]) -> Settings:
    """Return the project's settings with `overrides`, dotted names and their values, for one run.

    Raises:
        ConfigError: unknown keys, values out of range, or a key that the running services read too.
    """
    settings = load_settings()
    replaced = settings.override(overrides)
    shared = [key for key in overrides if key.partition(".")[0] not in PER_RUN]
    if shared:
        raise ConfigError(
            f"{', '.join(shared)} cannot be set for one run, because the running services read it too: "
            f"set it in {settings.file.name}; a run may set {', '.join(f'{section}.*' for section in PER_RUN)}"
        )
    return replaced
