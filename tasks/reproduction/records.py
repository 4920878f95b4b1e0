"""What was recorded of a version: what its run keeps below `lineage/`, read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.data.pinned import parse_dvc_text
from tasks.errors import ConfigError, DataError
from tasks.registry.lineage import DVC_TEXT, FACTS, INPUTS, LINEAGE_TAG, PATCH, SPEC, SUMS
from tasks.registry.origin import Origin

NEEDED = (SPEC, INPUTS, FACTS, SUMS, DVC_TEXT)


@dataclass(frozen=True)
class Records:
    """What a version was made from. `spec` is that of the training, `inputs` the parts of its step key."""

    spec_json: bytes
    spec: Mapping[str, Any]
    inputs: Mapping[str, str]
    commit: str
    patch: bytes
    unkept_changes: tuple[str, ...]
    lock_name: str
    lock: bytes
    data_remote: str
    dvc_md5: str
    data_digest: str
    hardware: Mapping[str, str]
    versions: Mapping[str, str]


def read_records(origin: Origin) -> Records:
    """Return what the files of a version's run say.

    Raises:
        ConfigError: the version was registered before runs kept their lineage.
        ValueError: a file is missing or cannot be read.
    """
    if LINEAGE_TAG not in {*origin.tags, *origin.version.tags}:
        raise ConfigError(
            f"version {origin.version.version} of {origin.version.name} keeps no record that it can be made again from "
            f"(its run has no tag {LINEAGE_TAG}): it was not trained by this pipeline, or before runs kept one; "
            "choose another version"
        )
    if missing := [name for name in NEEDED if name not in origin.files]:
        raise ValueError(f"{', '.join(missing)}: gone from the run's lineage")
    spec, inputs, facts = (read_object(origin.files, name) for name in (SPEC, INPUTS, FACTS))
    try:
        data = parse_dvc_text(origin.files[DVC_TEXT].decode(), DVC_TEXT)
        return Records(
            spec_json=origin.files[SPEC],
            spec={**spec, "recipe": dict(spec["recipe"])},
            inputs={str(name): str(value) for name, value in inputs.items()},
            commit=str(facts["commit"]),
            patch=origin.files.get(PATCH, b""),
            unkept_changes=tuple(facts["unkept_changes"]),
            lock_name=str(facts["lock"]),
            lock=origin.files[facts["lock"]],
            data_remote=str(facts["data_remote"]),
            dvc_md5=data.md5,
            data_digest=data.digest,
            hardware=dict(facts["hardware"]),
            versions=dict(facts["versions"]),
        )
    except (KeyError, TypeError, UnicodeDecodeError, DataError) as error:
        raise ValueError(f"the run's lineage is not what a run writes: {error!r}") from error


def read_object(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """Return the object in one of the JSON files.

    Raises:
        ValueError: it is none.
    """
    values = json.loads(files[name])
    if not isinstance(values, dict):
        raise ValueError(f"{name} holds {type(values).__name__}, not an object")  # noqa: TRY004 - a file's content
    return values
