"""The verb "train" and the retraining that it is part of, with a real MLflow database and a scripted trainer."""

import json
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.artifacts import load_text

from tasks import progress, train
from tasks.data.dataset import Dataset, DatasetVersion
from tasks.errors import RegistryError, TrainingError, TrainingStopped
from tasks.plan import plan_retraining
from tasks.registry.client import connect
from tasks.retraining import OpenRetraining, open_retraining
from tasks.settings import Settings, load_settings
from tasks.settings_training import CandidateSettings
from tasks.steps.key import StepKey
from tasks.steps.lock import locked_if_free
from tasks.steps.store import StepStore
from tasks.training.result import TrainedModel
from tests.conftest import ROOT
from tests.steps.conftest import MACHINE, PIXELS
from tests.test_progress import Recorder

EPOCHS = 3


@dataclass
class Trainer:
    """What stands for the training process: its events, its result, and how often it really trained."""

    events: tuple[dict, ...] = ()
    trained: int = 0
    gpus: list[str] = field(default_factory=list)

    def __call__(self, spec, out: Path, on_event, *, gpu: str) -> TrainedModel:
        self.gpus.append(gpu)
        for event in self.events:
            on_event(event)
        log = out / "metrics.jsonl"
        if not log.exists():
            self.trained += 1
            epochs = [event for event in self.events if event["event"] == "epoch"]
            log.write_text("".join(json.dumps(event) + "\n" for event in epochs))
        return TrainedModel(
            folder=out,
            architecture="small_cnn",
            channels=1,
            size_px=28,
            classes=PIXELS.classes,
            embedding_size=32,
            weights_sha256="a" * 64,
            seed=spec.seed,
            seconds=12.5,
            validation_accuracy=0.9,
            hardware=MACHINE.hardware,
            versions=MACHINE.versions,
        )


def epoch(number: int) -> dict:
    numbers = {"epoch": number, "step": number * 10, "time": 1000.0 + number, "validation_loss": 1 / number}
    return {"event": "epoch", **numbers, "validation_accuracy": number / 10}


@pytest.fixture
def trainer(monkeypatch) -> Trainer:
    stand_in = Trainer(({"event": "step", "step": 1, "steps": 30}, *map(epoch, range(1, EPOCHS + 1))))
    monkeypatch.setattr(train, "train", stand_in)
    monkeypatch.setattr(train, "get_run_logger", lambda: logging.getLogger("test"))
    return stand_in


@pytest.fixture
def settings(tmp_path, tracking_uri, monkeypatch) -> Settings:
    (tmp_path / "evergreen.toml").write_text((ROOT / "evergreen.toml").read_text())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.chdir(tmp_path)
    found = load_settings()
    connect(tracking_uri).create_experiment(tmp_path.name, artifact_location=(tmp_path / "artifacts").as_uri())
    return found.model_copy(update={"model": found.model.model_copy(update={"name": tmp_path.name})})


@pytest.fixture
def prepared(tmp_path):
    dataset = Dataset(tmp_path / "data", PIXELS.digest, PIXELS.classes, {"train": (5, 5)}, (), {})
    return SimpleNamespace(version=DatasetVersion(dataset, "md5.dir", "outs: []\n", "s3://bucket"), pixels=PIXELS)


def plan_of(settings: Settings, *candidates: str):
    named = tuple(CandidateSettings(name=name, epochs=number) for number, name in enumerate(candidates, 1))
    settings = settings.model_copy(update={"candidates": named})
    return plan_retraining(settings, PIXELS, machine=MACHINE, finished_seeds=lambda _: (), is_scheduled=False)


def train_first(settings, prepared, opened: OpenRetraining, **options) -> TrainedModel:
    return train.train_model.fn(settings, prepared, opened.plan, opened.trainings[0], **options)


def test_a_training_is_in_mlflow_with_what_it_came_from(settings, prepared, trainer, client):
    plan = plan_of(settings)
    with open_retraining(settings, plan) as opened:
        train_first(settings, prepared, opened)
    run = client.get_run(opened.run.run_id)
    assert run.info.status == "FINISHED"
    assert (run.data.params["epochs"], run.data.params["seed"]) == ("8", "20261120")
    tags = run.data.tags
    assert tags["evergreen.step_key"] == plan.trainings[0].key.digest
    assert tags["evergreen.inputs"] == plan.trainings[0].inputs
    assert (tags["evergreen.retraining"], tags["evergreen.weights_sha256"]) == (plan.key.digest, "a" * 64)
    history = client.get_metric_history(run.info.run_id, "validation_accuracy")
    assert [(metric.step, metric.timestamp) for metric in history] == [(10, 1001000), (20, 1002000), (30, 1003000)]
    assert run.data.metrics["training_s"] == 12.5
    inputs = json.loads(load_text(f"{run.info.artifact_uri}/lineage/inputs.json"))
    assert inputs == plan.trainings[0].key.parts
    record = StepStore(settings.home).find(plan.trainings[0].key)
    assert record.result == {
        "candidate": "", "weights_sha256": "a" * 64, "validation_accuracy": 0.9, "validation_loss": 1 / EPOCHS
    }  # fmt: skip


def test_its_events_are_shown(settings, prepared, trainer):
    trainer.events = (
        {"event": "discarded", "reason": "it was another training's"},
        {"event": "resumed", "step": 1400, "steps": 3000},
        {"event": "start", "hardware": {}, "versions": {}},
        *trainer.events,
        {"event": "checkpoint", "step": 20},
        {"event": "checkpoint_failed", "step": 25, "reason": "the disk is full"},
    )
    recorder = Recorder()
    with progress.listening(recorder), open_retraining(settings, plan_of(settings)) as opened:
        train_first(settings, prepared, opened)
    assert recorder.heard == [
        ("say", "small_cnn begins anew: it was another training's"),
        ("say", "small_cnn goes on from step 1,400 of 3,000"),
        ("update", "train", 1, 30, ""),
        ("update", "train", 10, 0, "epoch 1: validation accuracy 0.1000"),
        ("update", "train", 20, 0, "epoch 2: validation accuracy 0.2000"),
        ("update", "train", 30, 0, "epoch 3: validation accuracy 0.3000"),
        ("say", "small_cnn: no checkpoint at step 25: the disk is full"),
    ]


def test_mlflow_that_stays_away_costs_no_training(settings, prepared, trainer, client, monkeypatch):
    monkeypatch.setattr(train, "MLFLOW_WAIT_S", 0.2)
    plan = plan_of(settings)
    recorder, runs = Recorder(), []

    def fail(metrics):
        raise RegistryError("MLflow is away")

    def train_while_it_is_away() -> None:
        with progress.listening(recorder), open_retraining(settings, plan) as opened:
            runs.append(opened.run)
            monkeypatch.setattr(opened.run, "log_measurements", fail)
            train_first(settings, prepared, opened)

    with pytest.raises(RegistryError) as caught:
        train_while_it_is_away()
    folder = StepStore(settings.home).folder(plan.trainings[0].key)
    assert str(caught.value) == (
        "small_cnn is trained, but 9 metrics could not be logged in 0 s: MLflow is away; the training is kept in "
        f"{folder}, and the next run logs it without training again"
    )
    assert ("update", "train", 0, 0, "trained; waiting for MLflow, 0 s of 0 s") in recorder.heard
    assert client.get_run(runs[0].run_id).info.status == "FAILED"
    with progress.listening(recorder), open_retraining(settings, plan) as again:
        train_first(settings, prepared, again)
    assert trainer.trained == 1
    assert ("say", "small_cnn with seed 20261120 is trained already: reused") in recorder.heard
    assert len(client.get_metric_history(again.run.run_id, "validation_accuracy")) == EPOCHS


def test_a_training_on_another_machine_than_planned_is_no_result(settings, prepared, trainer):
    plan = replace(plan_of(settings), machine=replace(MACHINE, versions={"torch": "9"}))
    said = r"planned for \{'torch': '9'\}: the machine changed meanwhile; run again"
    with pytest.raises(TrainingError, match=said), open_retraining(settings, plan) as opened:
        train_first(settings, prepared, opened)
    assert StepStore(settings.home).find(plan.trainings[0].key) is None


def test_a_request_to_stop_reaches_the_training(settings, prepared, trainer, client):
    def stop():
        raise TrainingStopped("asked to stop")

    with pytest.raises(TrainingStopped), open_retraining(settings, plan_of(settings)) as opened:
        train_first(settings, prepared, opened, check=stop, gpu="GPU-7")
    assert (trainer.trained, trainer.gpus) == (0, ["GPU-7"])
    assert client.get_run(opened.run.run_id).info.status == "KILLED"


def test_candidates_have_runs_below_that_of_the_retraining(settings, client):
    plan = plan_of(settings, "small", "long")
    with open_retraining(settings, plan) as opened:
        assert [client.get_run(one.run.run_id).info.status for one in opened.trainings] == ["RUNNING"] * 2
    parent = client.get_run(opened.run.run_id)
    assert parent.data.tags["evergreen.retraining"] == plan.key.digest
    assert "evergreen.inputs" not in parent.data.tags
    for one, name in zip(opened.trainings, ("small", "long"), strict=True):
        run = client.get_run(one.run.run_id)
        assert (run.info.status, run.info.run_name) == ("FINISHED", f"{name}-seed-20261120")
        assert run.data.tags["mlflow.parentRunId"] == opened.run.run_id
        assert run.data.tags["evergreen.candidate"] == name
        assert "evergreen.retraining" not in run.data.tags


@pytest.mark.parametrize(("error", "status"), [(ValueError("bad"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_no_run_of_a_retraining_that_did_not_end_is_finished(settings, client, error, status):
    runs = []

    def end_early() -> None:
        with open_retraining(settings, plan_of(settings, "small", "long")) as opened:
            runs.extend([opened.run, *(one.run for one in opened.trainings)])
            opened.trainings[0].run.finish("FAILED", "it diverged")
            raise error

    with pytest.raises(type(error)):
        end_early()
    statuses = [client.get_run(run.run_id).info.status for run in runs]
    assert statuses == [status, "FAILED", status]


def test_its_steps_are_held_until_it_ends(settings):
    plan = plan_of(settings, "small", "long")
    keys = [*(one.key for one in plan.trainings), StepKey("evaluate", {})]

    def free() -> list[bool]:
        found = []
        for key in keys:
            folder = StepStore(settings.home).folder(key)
            with locked_if_free(folder.with_name(f"{folder.name}.lock")) as is_free:
                found.append(is_free)
        return found

    with open_retraining(settings, plan) as opened:
        opened.hold(keys[-1])
        assert free() == [False] * 3
    assert free() == [True] * 3
