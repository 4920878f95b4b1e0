"""`evergreen reproduce`: which services it needs, how it ends, what it prints."""

import json
import sys
import types
from dataclasses import dataclass, field, replace

import pytest

from flows import reproducing
from tasks.reproduction.differences import Fact
from tasks.reproduction.evidence import Evidence, NotReproducedError, Weights
from tasks.reproduction.page import to_json

SAME = Evidence(
    model="shoes",
    version=2,
    digest="d" * 64,
    run_id="r",
    tracking="http://mlflow",
    at="2026-11-20T08:09:10Z",
    host="vm",
    code_here="c" * 40,
    commit="f" * 40,
    weights=Weights("a", "a", "m", "m"),
)
OTHER = replace(SAME, weights=Weights("a", "b", "m", "n"))
ELSEWHERE = replace(SAME, facts=(Fact("version.torch", "2.13.0", "2.12.0"),))
ALTERED = replace(SAME, weights=None, findings=("seed is 1 in spec.json, but 2 in inputs.json",))


@dataclass
class World:
    """What stands in for the stack, the task and the flow, which need minutes: how they end, and who was called."""

    evidence: Evidence = SAME
    has_prefect: bool = False
    calls: list[str] = field(default_factory=list)
    options: dict[str, object] = field(default_factory=dict)

    def start_stack(self, settings, *, with_worker):
        self.calls.append("stack")
        assert not with_worker

    def task(self, settings, version, **options):
        self.calls.append("task")
        self.options = {"version": version, **options}
        return self.evidence

    def flow(self, version, **options):
        self.calls.append("flow")
        self.options = {"version": version, **options}
        if self.evidence.verdict.exit_code == 1:
            raise NotReproducedError(self.evidence)
        return self.evidence


@pytest.fixture
def world(monkeypatch) -> World:
    made = World()
    task = types.SimpleNamespace(reproduce_version=types.SimpleNamespace(fn=made.task))
    monkeypatch.setitem(sys.modules, "tasks.reproduce", task)
    monkeypatch.setitem(sys.modules, "flows.reproduce", types.SimpleNamespace(reproduce=made.flow))
    monkeypatch.setattr(reproducing, "start_stack", made.start_stack)
    monkeypatch.setattr(reproducing, "is_up", lambda settings, service: made.has_prefect)
    monkeypatch.setattr(reproducing, "flow_environment", lambda settings: {})
    return made


@pytest.mark.parametrize(
    ("words", "variables", "has_prefect", "expected"),
    [
        (["--tracking-uri", "http://there"], {}, False, ["task"]),
        (["--tracking-uri", "http://there"], {}, True, ["flow"]),
        ([], {"MLFLOW_TRACKING_URI": "http://there"}, False, ["task"]),
        ([], {}, True, ["stack", "flow"]),
    ],
    ids=["another MLflow needs no stack", "Prefect is up", "by a variable", "this project's MLflow"],
)
def test_only_what_is_needed_is_started(evergreen, world, monkeypatch, words, variables, has_prefect, expected):  # noqa: PLR0917
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    world.has_prefect = has_prefect
    assert evergreen("reproduce", "2", *words).code == 0
    assert world.calls == expected


@pytest.mark.parametrize("has_prefect", [True, False], ids=["flow", "task"])
def test_options_are_handed_on(evergreen, world, has_prefect):
    world.has_prefect = has_prefect
    evergreen("reproduce", "2", "--tracking-uri", "http://a", "--data-remote", "s3://b", "--no-restore-environment")
    assert world.options == {
        "version": 2,
        "tracking_uri": "http://a",
        "data_remote": "s3://b",
        "restore_environment": False,
    }


@pytest.mark.parametrize("has_prefect", [True, False], ids=["flow", "task"])
@pytest.mark.parametrize(
    ("evidence", "code"),
    [(SAME, 0), (OTHER, 1), (ALTERED, 1), (ELSEWHERE, 3)],
    ids=["identical", "different", "altered", "environment"],
)
def test_the_exit_code_is_the_verdict(evergreen, world, evidence, code, has_prefect):
    world.evidence, world.has_prefect = evidence, has_prefect
    said = evergreen("reproduce", "2", "--tracking-uri", "http://a")
    assert said.code == code
    assert f"{evidence.verdict}: {evidence.reason}" in said.out
    assert "reproductions/20261120T080910Z-vm.md of the run, in MLflow at http://mlflow" in said.out
    assert said.err == ""
    printed = evergreen("reproduce", "2", "--tracking-uri", "http://a", "--json")
    assert (printed.code, printed.out) == (code, to_json(evidence))
    assert json.loads(printed.out)["exit_code"] == code


def test_a_version_below_one_is_refused_before_anything_starts(evergreen, world, settings):
    assert evergreen("reproduce", "0").code == 2
    assert world.calls == []
