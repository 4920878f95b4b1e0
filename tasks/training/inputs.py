"""The key of a training's inputs: equal keys on one class of hardware give equal weights for equal attempts."""

import dataclasses
import hashlib
import json
from pathlib import Path

from serving.bundle.contract import file_sha256
from tasks.errors import ConfigError
from tasks.training.spec import TrainingSpec

PROJECT = Path(__file__).parents[2]
CODE = ("tasks/training/*.py", "serving/bundle/*.py")  # what a training imports of ours


def inputs_key(spec: TrainingSpec, *, lock: Path) -> str:
    """Return the SHA-256 over all of a spec that decides the weights, the code and the lock.

    `spec.seed` is the base seed, that of the first attempt. Where the pixels and the weights file stand is not in
    the key: their content is, by the data's digest and by the file's SHA-256. Nor is how the training is carried out.

    Raises:
        ConfigError: the weights file cannot be read.
    """
    values = dataclasses.asdict(spec)
    del values["pixels"], values["execution"]
    values["recipe"]["weights_file"] = weights_file_sha256(spec.recipe.weights_file)
    values |= {"code": code_sha256(), "lock": file_sha256(lock)}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def weights_file_sha256(path: str) -> str:
    """Return the SHA-256 of a weights file, or nothing where there is none.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return file_sha256(Path(path)) if path else ""
    except OSError as error:
        raise ConfigError(f"training.weights_file = {path!r} cannot be read: {error.strerror}") from error


def code_sha256() -> str:
    """Return the SHA-256 over the names and texts of the modules that a training runs."""
    digest = hashlib.sha256()
    for pattern in CODE:
        for path in sorted(PROJECT.glob(pattern)):
            digest.update(f"{path.relative_to(PROJECT).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
