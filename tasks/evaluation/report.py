"""The gates' report: as a table for people, as JSON for the record, with a digest that approvals can name.

Pure: the standard library only.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from tasks.evaluation.gates import GateLimits, GateResult, Verdict, overall


@dataclass(frozen=True)
class GateReport:
    """Every gate's result, the rule that chose the gates, a sentence, and the limits that they were given."""

    results: tuple[GateResult, ...]
    rule: str
    limits: GateLimits

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all gates."""
        return overall(self.results)

    @property
    def reason(self) -> str:
        """Why the verdict is what it is: the reasons of the gates that decided it, in one line."""
        if self.verdict is Verdict.PASS:
            return f"all {len(self.results)} gates passed"
        deciding = [result for result in self.results if result.verdict is self.verdict]
        return "; ".join(f"{result.name}: {result.reason}" for result in deciding) or "no gate judged"


def to_markdown(report: GateReport) -> str:
    """Return the report as a Markdown table with a heading."""
    lines = [
        f"## Gates: {report.verdict}",
        "",
        f"{_cell(report.rule)}. Bounds are one-sided at {report.limits.confidence:.0%} confidence.",
        "",
        "| gate | verdict | measured | required | reason |",
        "|---|---|---:|---|---|",
    ]
    for result in report.results:
        measured = "none" if result.measured is None else f"{result.measured:.4f}"
        cells = (result.name, f"**{result.verdict}**", measured, result.required, result.reason)
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines) + "\n"


def to_json(report: GateReport) -> str:
    """Return the report as canonical JSON: sorted keys, no spaces, no NaN; equal reports give equal text."""
    values = dataclasses.asdict(report) | {"verdict": report.verdict}
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def report_digest(report: GateReport) -> str:
    """Return the SHA-256 of the report's canonical JSON, in hex."""
    return hashlib.sha256(to_json(report).encode()).hexdigest()


def from_json(text: str) -> GateReport:
    """Read a report from its JSON.

    Raises:
        ValueError: not JSON, not a report, or its verdict is not that of its gates.
    """
    try:
        values = json.loads(text)
        results = tuple(_result(result) for result in values["results"])
        report = GateReport(results, values["rule"], GateLimits(**values["limits"]))
        stated = Verdict(values["verdict"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"this is no gate report: {error}") from error
    if stated is not report.verdict:
        raise ValueError(f"the report says {stated}, its gates say {report.verdict}: it was altered")
    return report


def _result(values: dict[str, Any]) -> GateResult:
    return GateResult(**{**values, "verdict": Verdict(values["verdict"])})


def _cell(text: str) -> str:
    """Return text that cannot end a table's cell or row: class names are a person's own."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
