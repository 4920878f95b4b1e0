"""The verdict, and what it is told by."""

import dataclasses
import json
import pickle

import pytest

from tasks.reproduction.differences import Fact
from tasks.reproduction.evidence import (
    Evidence,
    NotReproducedError,
    PredictionComparison,
    Verdict,
    Weights,
)
from tasks.reproduction.page import to_json, to_markdown, to_rows

SAME = Weights("a" * 64, "a" * 64, "m", "m")
OTHER_WEIGHTS = Weights("a" * 64, "b" * 64, "m", "n")
OTHER_BUNDLE = Weights("a" * 64, "a" * 64, "m", "n")
EQUAL = PredictionComparison(1000, 1000, 0.0, 0.9, 0.9)
NEAR = PredictionComparison(1000, 1000, 0.0004, 0.9, 0.9)
FAR = PredictionComparison(1000, 1000, 0.0006, 0.9, 0.9)
ONE_CLASS = PredictionComparison(1000, 999, 0.0001, 0.9, 0.899)
TORCH = Fact("version.torch", "2.13.0", "2.12.0")
EPOCHS = Fact("training.epochs", "8", "8")

EVIDENCE = Evidence(
    model="shoes",
    version=3,
    digest="d" * 64,
    run_id="r1",
    tracking="http://mlflow:5000",
    at="2026-11-20T08:09:10Z",
    host="vm",
    code_here="c" * 40,
    commit="f" * 40,
    facts=(EPOCHS,),
    weights=SAME,
    predictions=EQUAL,
    tolerance=0.0005,
)


@pytest.mark.parametrize(
    ("changes", "verdict", "exit_code", "reason"),
    [
        ({}, "identical", 0, "Every bit of the weights is the same. 1,000 of 1,000"),
        ({"predictions": NEAR}, "identical", 0, "probabilities differ by 0.0004 at most"),
        ({"predictions": None}, "identical", 0, "keeps no predictions"),
        ({"weights": OTHER_WEIGHTS}, "different", 1, "The weights differ."),
        ({"weights": OTHER_BUNDLE}, "different", 1, "the registered bundle holds others"),
        ({"predictions": FAR}, "different", 1, "differ by 0.0006"),
        ({"predictions": ONE_CLASS}, "different", 1, "999 of 1,000 test images get the same class"),
        ({"facts": (EPOCHS, TORCH)}, "environment differs", 3, "version.torch. Every bit of the weights is the same"),
        ({"facts": (TORCH,), "weights": OTHER_WEIGHTS, "predictions": FAR}, "environment differs", 3, "weights differ"),
        ({"weights": None, "findings": ("seed is 1, but 2",)}, "altered", 1, "not as it was recorded. Nothing was"),
        ({"findings": ("x",)}, "altered", 1, "not as it was recorded. Every bit of the weights is the same."),
        ({"findings": ("x",), "facts": (TORCH,), "weights": None}, "altered", 1, "Nothing was trained."),
    ],
)
def test_verdicts(changes, verdict, exit_code, reason):
    evidence = dataclasses.replace(EVIDENCE, **changes)
    assert evidence.verdict == verdict
    assert evidence.verdict.exit_code == exit_code
    assert reason in evidence.reason
    values = json.loads(to_json(evidence))
    assert (values["verdict"], values["exit_code"]) == (verdict, exit_code)
    assert ("verdict", f"{verdict}: {evidence.reason}") in to_rows(evidence)
    assert f"# shoes version 3: {verdict}" in to_markdown(evidence)


def test_every_verdict_is_in_the_table():
    assert {verdict.value for verdict in Verdict} == {"identical", "different", "altered", "environment differs"}


def test_the_tag_says_what_when_where_and_of_which_commit():
    assert EVIDENCE.tag == "identical, 2026-11-20T08:09:10Z, vm, commit ffffffffffff"
    assert EVIDENCE.name == "20261120T080910Z-vm"


def test_the_json_has_every_compared_fact():
    values = json.loads(to_json(dataclasses.replace(EVIDENCE, facts=(EPOCHS, TORCH), notes=("from a remote",))))
    assert values["format"] == 1
    assert values["facts"] == [
        {"name": "training.epochs", "recorded": "8", "here": "8", "is_same": True},
        {"name": "version.torch", "recorded": "2.13.0", "here": "2.12.0", "is_same": False},
    ]
    assert values["weights"] == dataclasses.asdict(SAME)
    assert values["predictions"] == dataclasses.asdict(EQUAL)
    assert values["notes"] == ["from a remote"]


def test_the_page_has_every_compared_fact_and_no_text_breaks_its_table():
    facts = (EPOCHS, TORCH, Fact("classes", 'a|b\n"c"', ""))
    page = to_markdown(dataclasses.replace(EVIDENCE, facts=facts, findings=("x | y",), notes=("n",)))
    assert "| training.epochs | 8 | 8 | same |" in page
    assert "| version.torch | 2.13.0 | 2.12.0 | **differs** |" in page
    assert '| classes | a\\|b "c" | none | **differs** |' in page
    assert f"| weights, SHA-256 | {'a' * 64} | {'a' * 64} | same |" in page
    assert "## Altered\n\n- x \\| y\n" in page
    assert "## Notes\n\n- n\n" in page


def test_what_was_altered_is_named_wherever_the_verdict_is():
    altered = dataclasses.replace(EVIDENCE, weights=None, findings=("seed is 1, but 2", "x was changed"))
    assert ("altered", "seed is 1, but 2") in to_rows(altered)
    assert "\n- x was changed\n" in to_markdown(altered)
    assert json.loads(to_json(altered))["findings"] == ["seed is 1, but 2", "x was changed"]
    assert str(NotReproducedError(altered)).splitlines()[1:] == ["seed is 1, but 2", "x was changed"]


def test_a_failed_flow_keeps_its_evidence():
    error = NotReproducedError(dataclasses.replace(EVIDENCE, weights=OTHER_WEIGHTS))
    assert str(error).startswith("version 3: different: in an environment that is equal")
    assert error.exit_code == 1
    again = pickle.loads(pickle.dumps(error))
    assert again.evidence == error.evidence
