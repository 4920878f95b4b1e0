"""Keys: equal for equal facts, and a difference is a sentence."""

import pytest

from tasks.steps.key import StepKey, as_part, changed_parts

A, B = "a" * 64, "b" * 64


def test_the_digest_is_of_the_step_and_its_parts_in_any_order():
    key = StepKey("train", {"seed": "1", "data": A})
    assert key.digest == StepKey("train", {"data": A, "seed": "1"}).digest
    others = [
        StepKey("evaluate", key.parts),
        StepKey("train", {"seed": "1"}),
        StepKey("train", {"seed": "2", "data": A}),
        StepKey("train", {"seeds": "1", "data": A}),
        StepKey("train", {"seed": "1", "data": A, "lock": ""}),
    ]
    assert len({key.digest, *(other.digest for other in others)}) == len(others) + 1


def test_a_part_can_be_left_open():
    key = StepKey("train", {"seed": "1", "data": A})
    assert key.without("seed") == StepKey("train", {"data": A})
    assert key.parts["seed"] == "1"


@pytest.mark.parametrize(
    ("value", "part"),
    [("small_cnn", "small_cnn"), (8, "8"), (0.01, "0.01"), (True, "true"), (("a", "b"), '["a", "b"]')],
)
def test_values_stand_as_people_write_them(value, part):
    assert as_part(value) == part


@pytest.mark.parametrize(
    ("old", "new", "sentences"),
    [
        ({"seed": "1"}, {"seed": "1"}, []),
        ({"training.epochs": "8"}, {"training.epochs": "9"}, ["training.epochs: 8 -> 9"]),
        ({"code": A}, {"code": B}, ["code of tasks.training changed"]),
        ({"code.evaluation": A}, {"code.evaluation": B}, ["code of tasks.evaluation changed"]),
        ({"lock": A}, {"lock": B}, ["the dependency lock changed"]),
        ({"data": A}, {"data": B}, ["data: aaaaaaaaaaaa -> bbbbbbbbbbbb"]),
        ({"weights_file": ""}, {"weights_file": B}, ["the content of training.weights_file is new"]),
        ({"weights_file": A}, {"weights_file": ""}, ["the content of training.weights_file is gone"]),
        ({"candidate.small": A}, {"candidate.small": B}, ["candidate.small changed"]),
        ({"candidate.small": A}, {}, ["candidate.small is gone"]),
        ({}, {"hardware.gpu": "H200"}, ["hardware.gpu: none -> H200"]),
        ({"version.torch": "2.12"}, {}, ["version.torch: 2.12 -> none"]),
        ({"b": "1", "gone": "x", "a": "1"}, {"a": "2", "b": "2"}, ["a: 1 -> 2", "b: 1 -> 2", "gone: x -> none"]),
    ],
)  # fmt: skip
def test_a_difference_is_told_by_name(old, new, sentences):
    assert changed_parts(old, new) == sentences
