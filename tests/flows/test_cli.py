"""The command line without a stack: what it reads, how it says what is wrong, and what it must not import."""

import json
import subprocess
import sys

import pytest
import typer

from flows.cli import app, parse_overrides
from tasks import errors
from tasks.registry.ledger import Entry, open_ledger
from tasks.rollout.status import write_status
from tests.conftest import ROOT

HEAVY = ("dvc", "evidently", "fastapi", "mlflow", "numpy", "pandas", "prefect", "pyarrow", "sklearn", "torch")
STATE_KEYS = [
    "champion",
    "previous",
    "router",
    "release",
    "instances",
    "last_error",
    "mlflow_reachable",
    "is_current",
    "services",
]


@pytest.mark.parametrize(
    "words",
    [["--help"], ["run", "--help"], ["data", "--help"], ["status"], ["status", "--json"], ["history"], ["doctor"]],
    ids=" ".join,
)
def test_what_must_be_quick_imports_nothing_heavy(settings, words):
    code = f"""
import sys
sys.argv = ["evergreen", *{words!r}]
from flows.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code
print("heavy:", sorted(set(sys.modules) & set({HEAVY!r})))
"""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy: []"
    assert len(done.stdout.splitlines()) > 1


def test_every_exit_code_is_one_class_and_in_the_help(evergreen):
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__]
    codes = {kind.exit_code: kind for kind in kinds}
    assert len(codes) == len(kinds) >= 7
    said = " ".join(evergreen("--help").out.replace("│", " ").split())
    assert app.info.help in said
    for code, kind in codes.items():
        assert f" {code} " in app.info.help, kind
        assert kind is errors.EvergreenError or f"+-- {kind.__name__}" in errors.__doc__
        assert kind is errors.EvergreenError or f"exit {code}" in errors.__doc__


@pytest.mark.parametrize(
    ("words", "variable", "code", "text"),
    [
        (["status"], "EVERGREEN_CONFIG=gone.toml", 2, "no settings file at "),
        (["status"], "EVERGREEN_TRAINING__EPOC=1", 2, "did you mean EVERGREEN_TRAINING__EPOCHS?"),
        (["run", "--set", "training.epoch=1"], "", 2, "unknown key training.epoch = 1: did you mean training.epochs?"),
        (["run", "--set", "training.epochs=0"], "", 2, "training.epochs = 0: Input should be greater than 0"),
        (["predict", "gone.png"], "", 2, "gone.png cannot be read: No such file or directory"),
        (["predict", "evergreen.toml"], "", 14, "`evergreen up` starts it"),
        (["data", "list"], "", 10, "data"),
    ],
    ids=["no file", "a variable", "a key", "a value", "no image", "nothing listens", "no data"],
)
def test_an_error_is_one_message_and_its_exit_code(evergreen, monkeypatch, words, variable, code, text):  # noqa: PLR0917
    if variable:
        monkeypatch.setenv(*variable.split("="))
    said = evergreen(*words)
    assert said.code == code
    assert said.err.startswith("error: ")
    assert text in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_a_wrong_override_starts_nothing(evergreen, settings):
    assert evergreen("run", "--set", "training.epochs=0").code == 2
    said = evergreen("run", "--set", "epochs")
    assert said.code == 2
    assert "expected KEY=VALUE, such as training.epochs=2" in said.err
    said = evergreen("run", "--set", "stack.router_port=8081")
    assert said.code == 2
    assert "stack.router_port cannot be set for one run, because the running services read it too" in said.err
    assert not settings.home.exists()


def test_a_version_below_one_is_refused_before_anything_starts(evergreen, settings):
    assert evergreen("release", "0").code == 2
    assert not settings.home.exists()


def test_an_outage_is_not_shown_as_nothing_released(evergreen, settings):
    write_status(settings.home, {"mlflow_reachable": False, "champion": None, "heartbeat_s": 0.0})
    assert "unknown: MLflow, which holds the registry, does not answer" in evergreen("status").out


def test_brackets_in_an_error_stay(evergreen):
    assert "[dim]x.png cannot be read" in evergreen("predict", "[dim]x.png").err


def test_the_state_has_every_key_when_nothing_ever_ran(evergreen, settings):
    state = evergreen("status", "--json").json
    assert list(state) == STATE_KEYS
    assert state["champion"] is None
    assert state["is_current"] is False
    assert state["router"] == {"url": settings.router_url, "route": None}
    assert set(state["services"]) == {"prefect", "mlflow", "router", "controller", "worker"}
    assert {service["state"] for service in state["services"].values()} == {"down"}


def test_the_state_says_what_is_in_production(evergreen, settings):
    champion = {"name": "shoes", "version": 3, "digest": "d" * 64, "accuracy": 0.9123}
    written = {"champion": champion, "previous": {"version": 2}, "heartbeat_s": 0, "pid": 1, "pid_started_s": 0}
    path = settings.home / "controller" / "state.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(written))
    state = evergreen("status", "--json").json
    assert list(state) == STATE_KEYS
    assert state["champion"] == champion
    said = evergreen("status").out
    for text in ("shoes version 3, accuracy 0.9123", "version 2, warm: `evergreen rollback`", "no controller runs"):
        assert text in said


def test_history_of_nothing(evergreen):
    assert evergreen("history", "--json").json == []
    assert evergreen("history").out == "nothing was released yet: `evergreen run` trains and releases a model\n"


def test_history_of_a_release(evergreen, settings):
    fixed = {"id": "1", "time": "2026-01-02T03:04:05.678", "model": "shoes", "who": "ann", "action": "promote"}
    moved = {"from_version": None, "to_version": 1, "previous_version": None, "why": "[better]", "gate_digest": "g"}
    ledger = open_ledger(settings.home)
    ledger.append(Entry(**fixed, **moved, phase="intent"))
    ledger.append(Entry(**fixed, **moved, phase="done", outcome="completed"))
    entries = evergreen("history", "--json").json
    assert [entry["phase"] for entry in entries] == ["intent", "done"]
    assert evergreen("history").out == "2026-01-02T03:04:05Z  promote   - -> 1      ann: [better]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training.epochs=2", {"training.epochs": 2}),
        ("training.flip=false", {"training.flip": False}),
        ("release.steps_pct=[10, 100]", {"release.steps_pct": [10, 100]}),
        ("training.architecture=resnet18", {"training.architecture": "resnet18"}),
        ('model.name="7"', {"model.name": "7"}),
        ("data.remote=s3://bucket?a=b", {"data.remote": "s3://bucket?a=b"}),
        ("data.remote=", {"data.remote": ""}),
    ],
)
def test_overrides(text, expected):
    assert parse_overrides([text]) == expected


def test_an_override_without_a_value_is_refused():
    with pytest.raises(typer.BadParameter, match=r"'epochs': expected KEY=VALUE, such as training.epochs=2"):
        parse_overrides(["epochs"])
