"""What a finished training leaves in its folder, and the record of it that the next stages get."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.bundle.contract import file_sha256
from serving.bundle.durable import read_json, write_json
from tasks.errors import TrainingError

if TYPE_CHECKING:
    from torch import Tensor

SPEC = "spec.json"
WEIGHTS = "weights.pt"
MODULE = "model.pt"
METRICS = "metrics.jsonl"
REQUEST, STDOUT, STDERR = "request.json", "stdout.txt", "stderr.txt"
CHATTER = frozenset({REQUEST, STDOUT, STDERR})  # of the launcher
RESULT = "result.json"  # written last: without it, a folder is not a result
FILES = "files"  # the key in it for the SHA-256 of the others


@dataclass(frozen=True)
class TrainedModel:
    """A finished training; `folder` holds model.pt, weights.pt, metrics.jsonl, spec.json and result.json."""

    folder: Path
    architecture: str
    channels: int
    size_px: int
    classes: tuple[str, ...]
    embedding_size: int
    weights_sha256: str
    seed: int
    seconds: float
    validation_accuracy: float
    hardware: dict[str, str]
    versions: dict[str, str]


def weights_sha256(state: Mapping[str, "Tensor"]) -> str:
    """Return the SHA-256 over name, dtype, shape and bytes of every tensor, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        array = state[name].detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_result(model: TrainedModel) -> None:
    """Write result.json, durably and as the last file, with the SHA-256 of each of the others."""
    values = {name: value for name, value in dataclasses.asdict(model).items() if name != "folder"}
    present = [name for name in (SPEC, WEIGHTS, MODULE, METRICS) if (model.folder / name).exists()]
    write_json(model.folder / RESULT, {**values, FILES: {name: file_sha256(model.folder / name) for name in present}})


def read_result(folder: Path) -> TrainedModel:
    """Read the result in `folder`.

    Raises:
        TrainingError: the training there did not finish, or its result cannot be read.
    """
    values = {name: value for name, value in read_values(folder).items() if name != FILES}
    try:
        return TrainedModel(folder=folder, **{**values, "classes": tuple(values["classes"])})
    except (KeyError, TypeError) as error:
        raise TrainingError(f"{folder / RESULT} has other fields than expected, {error}: train again") from error


def check_files(folder: Path) -> None:
    """Check that the files of a result are those that it was written with.

    Raises:
        TrainingError: one is not, or is missing.
    """
    for name, expected in read_values(folder).get(FILES, {}).items():
        try:
            found = file_sha256(folder / name)
        except OSError as error:
            raise TrainingError(f"{folder / name} cannot be read: {error.strerror}") from error
        if found != expected:
            raise TrainingError(f"{folder / name} has the SHA-256 {found}, expected {expected}")


def read_values(folder: Path) -> dict[str, Any]:
    """Return what stands in result.json.

    Raises:
        TrainingError: it is missing or damaged.
    """
    try:
        values = read_json(folder / RESULT)
    except ValueError as error:
        raise TrainingError(f"{error}: train again") from error
    if values is None:
        raise TrainingError(f"{folder} holds no finished training: {RESULT} is missing")
    return values


def read_events(folder: Path) -> list[dict[str, Any]]:
    """Return the epochs' events of a finished training, in order."""
    lines = (folder / METRICS).read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "epoch"]
