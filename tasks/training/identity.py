"""Which training a folder belongs to: all that decides the bits of the weights, one line for each fact."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serving.bundle.contract import file_sha256
from tasks.errors import ConfigError
from tasks.training.code import code_sha256
from tasks.training.spec import TrainingSpec

TRAINER = "tasks.training.__main__"  # its imports are the training
NOT_COUNTED = ("pixels", "execution", "device")  # a folder; no bit of the weights; the hardware class says it


def identity_of(spec: TrainingSpec, hardware: Mapping[str, str], versions: Mapping[str, str]) -> dict[str, str]:
    """Return each fact that decides the weights by its name.

    Raises:
        ConfigError: the weights file cannot be read.
    """
    values = dataclasses.asdict(spec)
    for name in NOT_COUNTED:
        del values[name]
    recipe: dict[str, Any] = values.pop("recipe")
    recipe["weights_file"] = weights_file_sha256(spec.recipe.weights_file)
    named = {"training": recipe, "hardware": hardware, "version": versions}
    facts = {f"{group}.{name}": value for group, facts in named.items() for name, value in facts.items()}
    return {name: json.dumps(value) for name, value in {**values, **facts, "code": code_sha256(TRAINER)}.items()}


def weights_file_sha256(path: str) -> str:
    """Return the SHA-256 of a weights file, or nothing where there is none.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return file_sha256(Path(path)) if path else ""
    except OSError as error:
        raise ConfigError(f"training.weights_file = {path!r} cannot be read: {error.strerror}") from error


def digest_of(identity: Mapping[str, str]) -> str:
    """Return the SHA-256 of an identity."""
    return hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, str]) -> str:
    """Return what differs between two identities, as "training.epochs: 8 -> 9; seed: 1 -> 2"."""
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return "; ".join(f"{name}: {old.get(name, 'nothing')} -> {new.get(name, 'nothing')}" for name in names)
