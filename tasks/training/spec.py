"""The training's whole input: what stands here, with the code and the hardware, decides the weights."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import ConfigError


@dataclass(frozen=True)
class Recipe:
    """How the network is trained; the names are those of `[training]` in evergreen.toml."""

    architecture: str
    weights_file: str
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    ema_decay: float
    flip: bool
    shift_px: int
    rotate_degrees: float
    erase_px: int
    brightness: float
    contrast: float
    class_balance: str  # none, weights, sampler


@dataclass(frozen=True)
class Execution:
    """How the training is carried out: it decides time and memory, and never a bit of the weights."""

    checkpoint_steps: int
    loader_workers: int
    max_resident_bytes: int


@dataclass(frozen=True)
class TrainingSpec:
    """One training; `pixels` is the folder of a pixel map (images.npy, labels.npy, splits.npy)."""

    pixels: str
    data_digest: str
    classes: tuple[str, ...]
    channels: int
    size_px: int
    recipe: Recipe
    seed: int
    threads: int
    device: str  # auto, cpu, cuda
    execution: Execution

    def to_json(self) -> str:
        """Return the text of SPEC.json."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True)


def read_spec(path: Path) -> TrainingSpec:
    """Read SPEC.json.

    Raises:
        ConfigError: it is missing, not JSON, or has other fields.
    """
    try:
        values = json.loads(path.read_text())
        parts = {"recipe": Recipe(**values.pop("recipe")), "execution": Execution(**values.pop("execution"))}
        return TrainingSpec(**{**values, **parts, "classes": tuple(values["classes"])})
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no training spec: {error!r}; TrainingSpec.to_json writes one") from error
