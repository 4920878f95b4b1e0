"""The evidence told: as JSON for programs, as lines for a terminal, as a page of Markdown. Pure."""

import dataclasses
import json

from tasks.reproduction.differences import NONE, Fact
from tasks.reproduction.evidence import SHOWN_DIGITS, Evidence, Weights

FORMAT = 1


def to_json(evidence: Evidence) -> str:
    """Return the evidence as JSON, with its verdict, the reason and the exit code."""
    values = dataclasses.asdict(evidence)
    values["facts"] = [{**dataclasses.asdict(fact), "is_same": fact.is_same} for fact in evidence.facts]
    verdict = {"verdict": evidence.verdict, "reason": evidence.reason, "exit_code": evidence.verdict.exit_code}
    return json.dumps({"format": FORMAT, **verdict, **values}, indent=2, allow_nan=False) + "\n"


def to_rows(evidence: Evidence) -> list[tuple[str, str]]:
    """Return the evidence as labelled lines for a terminal."""
    changes = " with its uncommitted changes" if evidence.has_patch else ""
    rows = [
        ("verdict", f"{evidence.verdict}: {evidence.reason}"),
        ("version", f"{evidence.model} version {evidence.version}, run {evidence.run_id}"),
        ("code", f"commit {evidence.commit[:SHOWN_DIGITS] or NONE}{changes}"),
    ]
    if evidence.weights is not None:
        rows += [("weights recorded", evidence.weights.recorded), ("weights remade", evidence.weights.remade)]
    rows += [("altered", finding) for finding in evidence.findings]
    rows += [("note", note) for note in evidence.notes]
    if evidence.seconds:
        rows.append(("time", ", ".join(f"{name} {seconds:.0f} s" for name, seconds in evidence.seconds.items())))
    return [*rows, ("evidence", f"reproductions/{evidence.name}.md of the run, in MLflow at {evidence.tracking}")]


def to_markdown(evidence: Evidence) -> str:
    """Return the evidence as a page."""
    about = [
        ("version", f"{evidence.model} version {evidence.version}"),
        ("bundle", evidence.digest),
        ("run", evidence.run_id),
        ("reproduced", f"{evidence.at} on {evidence.host}, by the code of commit {evidence.code_here}"),
        ("code", f"commit {evidence.commit or NONE}" + (", with its uncommitted changes" * evidence.has_patch)),
        ("time", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in evidence.seconds.items())),
    ]
    lines = [f"# {evidence.model} version {evidence.version}: {evidence.verdict}", "", cell(evidence.reason), ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {cell(text)} |" for name, text in about), ""]
    for title, sentences in (("Altered", evidence.findings), ("Notes", evidence.notes)):
        if sentences:
            lines += [f"## {title}", "", *(f"- {cell(sentence)}" for sentence in sentences), ""]
    compared = [*weight_facts(evidence.weights), *evidence.facts]
    if compared:
        lines += ["## Compared", "", "| fact | recorded | here | |", "|---|---|---|---|"]
        lines += [
            f"| {cell(fact.name)} | {cell(fact.recorded or NONE)} | {cell(fact.here or NONE)} | "
            f"{'same' if fact.is_same else '**differs**'} |"
            for fact in compared
        ]
    return "\n".join(lines).rstrip() + "\n"


def weight_facts(weights: Weights | None) -> list[Fact]:
    """Return the weights as compared facts."""
    if weights is None:
        return []
    return [
        Fact("weights, SHA-256", weights.recorded, weights.remade),
        Fact("tensors of the module, SHA-256", weights.module_recorded, weights.module_remade),
    ]


def cell(text: str) -> str:
    """Return text that cannot end a table's cell or row."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
