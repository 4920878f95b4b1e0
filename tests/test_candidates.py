"""Candidates: who fails is told and left behind, and the best on validation goes on."""

import contextlib
import dataclasses
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import candidates, progress
from tasks.candidates import Outcome, choose, choose_challenger, outcome_of, train_candidate
from tasks.errors import ConfigError, DataError, RegistryError, TrainingError, TrainingStopped
from tasks.places import Places
from tasks.plan import TrainingPlan
from tasks.retraining import OpenRetraining, OpenTraining
from tasks.steps.key import StepKey
from tasks.training.result import TrainedModel
from tests.test_progress import Recorder


class Run:
    """An MLflow run that remembers."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []
        self.logged: dict[str, object] = {}

    def finish(self, status: str, note: str = "") -> None:
        self.ended.append((status, note))

    def log_texts(self, texts, path):
        self.logged |= {f"{path}/{name}": text for name, text in texts.items()}

    def log_metrics(self, values):
        self.logged |= values

    def set_tags(self, tags):
        self.logged |= tags


def opened(name: str, architecture: str = "small_cnn") -> OpenTraining:
    spec = SimpleNamespace(seed=5, recipe=SimpleNamespace(architecture=architecture))
    return OpenTraining(TrainingPlan(name, spec, StepKey("train", {}), 0), Run(), None)


def model(accuracy: float, folder: Path = Path()) -> TrainedModel:
    values = dict.fromkeys((field.name for field in dataclasses.fields(TrainedModel)), "")
    return TrainedModel(**{**values, "folder": folder, "validation_accuracy": accuracy, "seconds": 61.4})


def outcome(name: str, accuracy: float, loss: float = 0.5) -> Outcome:
    return Outcome(opened(name), model(accuracy), loss)


def failed(name: str, reason: str) -> Outcome:
    return Outcome(opened(name), None, reason=reason)


def test_the_best_on_validation_goes_on():
    outcomes = [outcome("a", 0.8), failed("b", "diverged"), outcome("c", 0.9, 0.4), outcome("d", 0.9, 0.3)]
    challenger = choose(outcomes)
    assert (challenger.training, challenger.model) == (outcomes[3].training, outcomes[3].model)
    assert challenger.outcomes == tuple(outcomes)


def test_of_equals_the_first_goes_on():
    assert choose([outcome("a", 0.8), outcome("b", 0.9), outcome("c", 0.9)]).training.plan.name == "b"


def test_where_all_fail_each_reason_is_told():
    with pytest.raises(TrainingError) as caught:
        choose([failed("a", "the loss is nan"), failed("b", "out of memory")])
    assert str(caught.value) == "none of 2 candidates could be trained:\n  a: the loss is nan\n  b: out of memory"


def test_the_parent_holds_all_of_them(monkeypatch):
    shown = []
    monkeypatch.setattr(candidates, "create_markdown_artifact", lambda **artifact: shown.append(artifact))
    monkeypatch.setattr(candidates, "get_run_logger", lambda: logging.getLogger("test"))
    run = Run()
    outcomes = [outcome("a", 0.8), failed("b", "a | b\nfailed"), outcome("c", 0.91234, 0.25)]
    retraining = OpenRetraining(None, run, tuple(one.training for one in outcomes), None)
    challenger = choose_challenger.fn(retraining, outcomes)
    assert challenger.training is outcomes[2].training
    table = run.logged["candidates/candidates.md"]
    assert table.splitlines() == [
        "| candidate | architecture | seed | validation accuracy | validation loss | time | outcome |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| a | small_cnn | 5 | 0.8000 | 0.5000 | 61 s | trained |",
        "| b | small_cnn | 5 |  |  |  | failed: a / b failed |",
        "| c | small_cnn | 5 | 0.9123 | 0.2500 | 61 s | challenger |",
    ]
    assert [row["candidate"] for row in json.loads(run.logged["candidates/candidates.json"])] == ["a", "b", "c"]
    assert run.logged["c/validation_accuracy"] == 0.91234
    assert run.logged["a/training_s"] == 61.4
    assert "b/validation_accuracy" not in run.logged
    assert run.logged["evergreen.challenger"] == "c"
    assert (shown[0]["key"], shown[0]["markdown"]) == ("candidates", table)


@pytest.mark.parametrize("error", [TrainingError("the loss is nan"), ConfigError("resnet19 is unknown")])
def test_an_error_of_the_candidates_own_is_its_outcome(error):
    found = outcome_of(opened("a"), error)
    assert (found.model, found.reason) == (None, str(error))


@pytest.mark.parametrize(
    "error", [TrainingStopped("stop"), RegistryError("away"), DataError("gone"), ValueError("bug")]
)
def test_any_other_error_is_the_runs(error):
    with pytest.raises(type(error)):
        outcome_of(opened("a"), error)


def test_a_model_is_an_outcome_with_its_loss(tmp_path):
    events = [{"event": "epoch", "validation_loss": loss} for loss in (0.9, 0.25)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    found = outcome_of(opened("a"), model(0.8, tmp_path))
    assert (found.validation_loss, found.model.validation_accuracy) == (0.25, 0.8)


def train_one(monkeypatch, places: Places, result: object) -> tuple[OpenTraining, Recorder, list[str]]:
    """Train a candidate whose training gives `result`, and return it, what was shown, and the GPU it had."""
    one, recorder, gpus = opened("a"), Recorder(), []

    def train(*_, check, gpu) -> object:
        check()
        gpus.append(gpu)
        if isinstance(result, BaseException):
            raise result
        return result

    monkeypatch.setattr(candidates.train_model, "fn", train)
    is_error = isinstance(result, BaseException)
    with progress.listening(recorder), pytest.raises(type(result)) if is_error else contextlib.nullcontext():
        assert train_candidate.fn(one, None, None, None, places) is result
    return one, recorder, gpus


def test_a_candidate_has_a_place_and_a_stage_of_its_own(monkeypatch):
    one, recorder, gpus = train_one(monkeypatch, Places(["GPU-1"]), model(0.8))
    assert gpus == ["GPU-1"]
    assert recorder.heard == [("update", "train a", 0, 0, ""), ("finish", "train a", True)]
    assert one.run.ended == []


def test_a_candidate_that_fails_is_closed_and_the_others_go_on(monkeypatch):
    places = Places([""])
    one, recorder, _ = train_one(monkeypatch, places, TrainingError("the loss is nan"))
    assert one.run.ended == [("FAILED", "TrainingError: the loss is nan")]
    assert recorder.heard[-1] == ("fail", "train a", "failed: the loss is nan")
    places.check_stop()


def test_one_that_was_asked_to_stop_stops_the_others(monkeypatch):
    places = Places([""])
    one, _, _ = train_one(monkeypatch, places, TrainingStopped("it was sent SIGTERM"))
    assert one.run.ended == []  # the retraining closes it
    with pytest.raises(TrainingStopped):
        places.check_stop()
