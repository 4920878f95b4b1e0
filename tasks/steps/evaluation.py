"""The keys of an evaluation and of a whole retraining."""

from collections.abc import Mapping
from pathlib import Path

from serving.bundle.contract import file_sha256
from tasks.data.dataset import PixelMap
from tasks.steps.key import StepKey, as_part
from tasks.training.code import PROJECT, code_sha256

STEP = "evaluate"
REGISTRATION = "register"
CANDIDATE = "candidate"  # the part that names a training by its key
MAKERS = ("tasks.evaluation.finish", "tasks.evaluation.metrics", "tasks.evaluation.scores")  # of bundle and scores
JUDGES = ("tasks.evaluation.judge",)


def scoring_code() -> str:
    """Return the SHA-256 of the code that makes bundle and scores: ask before the training, while it is what runs."""
    return code_sha256(*MAKERS, root=PROJECT)


def evaluation_key(
    weights_sha256: str, pixels: PixelMap, *, code: str, lock: Path, tolerance: float, threads: int
) -> StepKey:
    """Return the key of a model's bundle and its scores on the test set: what does not depend on the champion."""
    return StepKey(
        STEP,
        {
            "weights": weights_sha256,
            "data": pixels.digest,
            "classes": as_part(pixels.classes),
            "channels": as_part(pixels.channels),
            "size_px": as_part(pixels.size_px),
            "threads": as_part(threads),
            "gates.max_prediction_error": as_part(tolerance),
            "code.evaluation": code,
            "lock": file_sha256(lock),
        },
    )


def retraining_key(
    trainings: Mapping[str, StepKey], *, gates: Mapping[str, object], lock: Path, threads: int
) -> StepKey:
    """Return the key of a retraining: its trainings by candidate ("" is the only one), and how they are judged.

    The champion is not in it: what was judged once is not judged again because another version serves.
    """
    named = {f"{CANDIDATE}.{name}" if name else CANDIDATE: key.digest for name, key in trainings.items()}
    return StepKey(
        REGISTRATION,
        {
            **named,
            "threads": as_part(threads),
            **{f"gates.{name}": as_part(value) for name, value in gates.items()},
            "code.evaluation": code_sha256(*MAKERS, *JUDGES, root=PROJECT),
            "lock": file_sha256(lock),
        },
    )
