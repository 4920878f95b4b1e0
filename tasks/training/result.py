"""What a finished training leaves in its folder, and the record of it that the next stages get."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving.bundle.durable import write_json
from tasks.errors import TrainingError

if TYPE_CHECKING:
    from torch import Tensor

SPEC = "spec.json"
WEIGHTS = "weights.pt"
MODULE = "model.pt"
METRICS = "metrics.jsonl"
RESULT = "result.json"  # written last: without it, a folder is not a result


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
    """Write result.json, durably and as the last file."""
    values = {name: value for name, value in dataclasses.asdict(model).items() if name != "folder"}
    write_json(model.folder / RESULT, values)


def read_result(folder: Path) -> TrainedModel:
    """Read the result in `folder`.

    Raises:
        TrainingError: the training there did not finish.
    """
    try:
        values = json.loads((folder / RESULT).read_text())
    except FileNotFoundError as error:
        raise TrainingError(f"{folder} holds no finished training: {RESULT} is missing") from error
    return TrainedModel(folder=folder, **{**values, "classes": tuple(values["classes"])})


def read_events(folder: Path) -> list[dict[str, Any]]:
    """Return the epochs' events of a finished training, in order."""
    lines = (folder / METRICS).read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "epoch"]
