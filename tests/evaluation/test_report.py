"""The report: one digest for equal reports, a way back from JSON, and a table that class names cannot break."""

import dataclasses
import hashlib
import json
import re

import pytest

from tasks.evaluation.gates import GateLimits, GateResult, Verdict
from tasks.evaluation.report import GateReport, from_json, report_digest, to_json, to_markdown

LIMITS = GateLimits(0.88, 0.005, 0.5, 50, 0.95)
PASSED = GateResult("accuracy", Verdict.PASS, 0.9142, "at least 0.8800", "at worst 0.9094")
OPEN = GateResult("recall", Verdict.INCONCLUSIVE, None, "at least 0.5", "hat|cap has 3 test images\nof 50")
FAILED = GateResult("difference", Verdict.FAIL, -0.02, "above -0.0050", "at best -0.0151")
REPORT = GateReport((PASSED, OPEN), "There is no champion yet", LIMITS)


@pytest.mark.parametrize(
    ("results", "verdict", "reason"),
    [
        ((PASSED, PASSED), Verdict.PASS, "all 2 gates passed"),
        ((PASSED, FAILED, OPEN), Verdict.FAIL, "difference: at best -0.0151"),
        ((PASSED, FAILED, FAILED), Verdict.FAIL, "difference: at best -0.0151; difference: at best -0.0151"),
        ((), Verdict.INCONCLUSIVE, "no gate judged"),
    ],
    ids=["all pass", "one fails", "two fail", "none"],
)
def test_verdict_and_reason_are_those_of_the_worst_gates(results, verdict, reason):
    report = GateReport(results, "rule", LIMITS)
    assert (report.verdict, report.reason) == (verdict, reason)


def test_markdown_is_one_row_a_gate():
    lines = to_markdown(REPORT).splitlines()
    assert lines[0] == "## Gates: inconclusive"
    assert "There is no champion yet. Bounds are one-sided at 95% confidence." in lines
    rows = [line for line in lines if line.startswith("| ")]
    assert rows[1] == "| accuracy | **pass** | 0.9142 | at least 0.8800 | at worst 0.9094 |"
    assert rows[2] == r"| recall | **inconclusive** | none | at least 0.5 | hat\|cap has 3 test images of 50 |"


def test_json_comes_back_equal():
    text = to_json(REPORT)
    assert from_json(text) == REPORT
    assert to_json(from_json(text)) == text
    assert json.loads(text)["verdict"] == "inconclusive"


def test_digest_is_of_the_canonical_json():
    assert report_digest(REPORT) == hashlib.sha256(to_json(REPORT).encode()).hexdigest()
    assert report_digest(dataclasses.replace(REPORT, results=(PASSED, FAILED))) != report_digest(REPORT)


def test_json_refuses_nan():
    broken = dataclasses.replace(REPORT, results=(dataclasses.replace(PASSED, measured=float("nan")),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(broken)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "this is no gate report"),
        ("[]", "this is no gate report"),
        ("{}", "this is no gate report: 'results'"),
        (to_json(REPORT).replace('"confidence"', '"certainty"'), "this is no gate report"),
        (to_json(REPORT).replace('"verdict":"pass"', '"verdict":"maybe"'), "'maybe' is not a valid Verdict"),
        (re.sub(r'"inconclusive"}$', '"pass"}', to_json(REPORT)), "the report says pass, its gates say inconclusive"),
    ],
    ids=["no JSON", "a list", "empty", "another limit", "another verdict", "altered"],
)
def test_json_that_is_no_report_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        from_json(text)
