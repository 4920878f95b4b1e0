"""The key of a training's inputs: equal keys on one class of hardware give equal weights for equal attempts."""

import dataclasses
import hashlib
import json
from pathlib import Path

from tasks.training.spec import Recipe

PROJECT = Path(__file__).parents[2]
CODE = ("tasks/training/*.py", "serving/bundle/*.py")  # what a training imports of ours


def inputs_key(recipe: Recipe, *, data_digest: str, size_px: int, channels: int, lock: Path) -> str:
    """Return the SHA-256 over recipe, data, image size, code and lock; the seed is not in it."""
    values = {
        "recipe": dataclasses.asdict(recipe),
        "data_digest": data_digest,
        "image": [channels, size_px],
        "code": code_sha256(),
        "lock": hashlib.sha256(lock.read_bytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def code_sha256() -> str:
    """Return the SHA-256 over the names and texts of the modules that a training runs."""
    digest = hashlib.sha256()
    for pattern in CODE:
        for path in sorted(PROJECT.glob(pattern)):
            digest.update(f"{path.relative_to(PROJECT).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
