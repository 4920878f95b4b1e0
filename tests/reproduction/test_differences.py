"""What a difference means: a table."""

import pytest

from tasks.reproduction.differences import (
    compare_facts,
    describe_differences,
    environment_differences,
    record_differences,
)

RECORDED = {
    "code": "c1",
    "code.pixels": "p1",
    "hardware.gpu": "H200",
    "version.torch": "2.13.0",
    "training.epochs": "8",
    "seed": "1",
}


@pytest.mark.parametrize(
    ("changes", "environment", "records"),
    [
        ({}, [], []),
        ({"version.torch": "2.12.0"}, ["version.torch"], []),
        ({"hardware.gpu": ""}, ["hardware.gpu"], []),
        ({"hardware.driver": "570"}, ["hardware.driver"], []),
        ({"package.numpy": "2.0"}, ["package.numpy"], []),
        ({"training.epochs": "9"}, [], ["training.epochs"]),
        ({"seed": "2"}, [], ["seed"]),
        ({"code": "c2"}, [], ["code"]),
        ({"code.pixels": "p2"}, [], ["code.pixels"]),
        ({"code.pixels": "p2", "package.pillow": "9"}, ["package.pillow"], []),
        ({"code": "c2", "version.torch": "2.12.0"}, ["version.torch"], ["code"]),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_differs_is_of_the_machine_or_of_the_records(changes, environment, records):
    here = {**RECORDED, **changes}
    facts = compare_facts(RECORDED, {name: value for name, value in here.items() if value})
    assert [fact.name for fact in environment_differences(facts)] == environment
    assert [fact.name for fact in record_differences(facts)] == records


def test_a_difference_has_both_values():
    facts = compare_facts({"version.torch": "2.13.0", "hardware.gpu": "H200"}, {"version.torch": "2.12.0"})
    assert describe_differences(facts) == [
        "2 of 2 facts differ here: the bits cannot be expected to agree, and nothing will be called reproduced",
        "  version.torch: recorded 2.13.0, here 2.12.0",
        "  hardware.gpu: recorded H200, here none",
    ]


def test_without_a_difference_bits_can_be_expected_to_agree():
    (line,) = describe_differences(compare_facts(RECORDED, RECORDED))
    assert line == "nothing of 6 facts differs here: the bits can be expected to agree"
