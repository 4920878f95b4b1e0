"""The keys of an evaluation and of a whole retraining."""

from dataclasses import replace

import pytest

from tasks.steps.evaluation import evaluation_key, retraining_key, scoring_code
from tasks.steps.key import StepKey
from tests.steps.conftest import LOCK, PIXELS

WEIGHTS = "a" * 64
GATES = {"min_accuracy": 0.9, "confidence": 0.95}


def evaluated(**changes: object) -> StepKey:
    values = {"weights": WEIGHTS, "pixels": PIXELS, "code": "c" * 64, "tolerance": 0.001, "threads": 2, **changes}
    return evaluation_key(values.pop("weights"), values.pop("pixels"), lock=LOCK, **values)


@pytest.mark.parametrize(
    "other",
    [
        {"weights": "b" * 64},
        {"pixels": replace(PIXELS, digest="e" * 64)},
        {"pixels": replace(PIXELS, classes=("coat", "bag"))},
        {"pixels": replace(PIXELS, size_px=32)},
        {"tolerance": 0.002},
        {"threads": 1},
        {"code": "d" * 64},
    ],
    ids=["weights", "data", "classes", "size", "tolerance", "threads", "code"],
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


def test_judging_is_code_beyond_that_of_the_scores():
    assert scoring_code() != retrained().parts["code.evaluation"]
