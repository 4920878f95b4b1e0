"""The key of a training: all that decides its weights, bit for bit."""

import dataclasses
from pathlib import Path

from serving.bundle.contract import file_sha256
from tasks.data.pixels import makers_digest
from tasks.steps.key import StepKey, as_part
from tasks.training.code import PROJECT, code_sha256
from tasks.training.identity import TRAINER, weights_file_sha256
from tasks.training.machine import Machine
from tasks.training.spec import TrainingSpec

STEP = "train"


def training_key(spec: TrainingSpec, *, lock: Path, machine: Machine, root: Path = PROJECT) -> StepKey:
    """Return the key of a training of the code in `root`, with the dependencies that `lock` names, on this machine.

    Where the pixels and the weights file stand is not in it: their content is, by the data's digest and by the
    file's SHA-256. Nor is how the training is carried out, nor `training.device`: the hardware says what became of it.

    Raises:
        ConfigError: the weights file cannot be read.
    """
    hardware = {name: value for name, value in machine.hardware.items() if name != "threads"}  # the spec's own
    recipe = {name: as_part(value) for name, value in dataclasses.asdict(spec.recipe).items() if name != "weights_file"}
    return StepKey(
        STEP,
        {
            "data": spec.data_digest,
            "classes": as_part(spec.classes),
            "channels": as_part(spec.channels),
            "size_px": as_part(spec.size_px),
            "seed": as_part(spec.seed),
            "threads": as_part(spec.threads),
            "weights_file": weights_file_sha256(spec.recipe.weights_file),
            **{f"training.{name}": value for name, value in recipe.items()},
            "code": code_sha256(TRAINER, root=root),
            "code.pixels": makers_digest(),
            "lock": file_sha256(lock),
            **{f"hardware.{name}": value for name, value in hardware.items()},
            **{f"version.{name}": value for name, value in machine.versions.items()},
        },
    )


def inputs_digest(key: StepKey) -> str:
    """Return what the attempts at one training share: its key but for the seed."""
    return key.without("seed").digest
