"""The keys of an evaluation and of a whole retraining."""

from dataclasses import replace

import pytest

from tasks.data.dataset import PixelMap
from tasks.steps.evaluation import evaluation_key, retraining_key
from tasks.steps.key import StepKey
from tests.steps.conftest import LOCK, PIXELS

WEIGHTS = "a" * 64
GATES = {"min_accuracy": 0.9, "confidence": 0.95}


def evaluated(pixels: PixelMap = PIXELS, weights: str = WEIGHTS, tolerance: float = 0.001, threads: int = 2) -> StepKey:
    return evaluation_key(weights, pixels, lock=LOCK, tolerance=tolerance, threads=threads)


@pytest.mark.parametrize(
    "other",
    [
        {"weights": "b" * 64},
        {"pixels": replace(PIXELS, digest="e" * 64)},
        {"pixels": replace(PIXELS, classes=("coat", "bag"))},
        {"pixels": replace(PIXELS, size_px=32)},
        {"tolerance": 0.002},
        {"threads": 1},
    ],
    ids=["weights", "data", "classes", "size", "tolerance", "threads"],
)
def test_what_the_scores_depend_on_is_in_it(other):
    assert evaluated(**other).digest != evaluated().digest


def test_where_the_pixels_stand_is_not(tmp_path):
    assert evaluated(pixels=replace(PIXELS, folder=tmp_path)) == evaluated()


def retrained(gates: dict[str, object] = GATES, **trainings: StepKey) -> StepKey:
    return retraining_key(trainings or {"": StepKey("train", {"seed": "1"})}, gates=gates, lock=LOCK, threads=2)


def test_a_retraining_is_its_trainings_and_its_gates():
    one, other = StepKey("train", {"seed": "1"}), StepKey("train", {"seed": "2"})
    keys = [
        retrained(),
        retrained(gates={**GATES, "min_accuracy": 0.91}),
        retrained(small=one),
        retrained(small=other),
        retrained(large=one),
        retrained(small=one, large=other),
    ]
    assert len({key.digest for key in keys}) == len(keys)
    assert retrained().parts["candidate"] == one.digest
    assert retrained(small=one).parts["candidate.small"] == one.digest
    assert retrained().parts["gates.min_accuracy"] == "0.9"


def test_an_evaluation_is_more_code_than_its_scores():
    assert evaluated().parts["code.evaluation"] != retrained().parts["code.evaluation"]
