"""What a run prints at its end."""

import dataclasses
import datetime
from types import SimpleNamespace

import numpy as np
import pytest

from flows.summary import RunSummary, addresses
from tasks.candidates import Challenger, Outcome
from tasks.data.dataset import Split
from tasks.evaluate import Champion
from tasks.evaluation.scores import Scores
from tasks.plan import TrainingPlan
from tasks.registry.record import ModelVersion
from tasks.registry.stages import Stage
from tasks.release import ServedCheck
from tasks.retraining import OpenTraining
from tasks.steps.key import StepKey
from tasks.training.spec import TrainingSpec


def opened(name: str) -> OpenTraining:
    """The third training of its inputs."""
    spec = TrainingSpec(
        "", "digest", ("bag", "coat"), 1, 28, recipe=None, seed=7, threads=1, device="cpu", execution=None
    )
    return OpenTraining(TrainingPlan(name, spec, StepKey("train", {}), attempt=2), None, None)


@pytest.fixture
def summary(settings, tmp_path) -> RunSummary:
    """A run that promoted version 4."""
    version = ModelVersion(
        name="shoes",
        version=4,
        digest="d" * 64,
        run_id="r",
        stage=Stage.PRODUCTION,
        aliases=("champion",),
        tags={},
        source="s",
        created_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    )
    scores = Scores(
        ids=np.array(["a", "b", "c", "d"]),
        labels=np.array(["bag", "bag", "coat", "coat"]),
        classes=("bag", "coat"),
        probabilities=np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]], dtype=np.float32),
        split=Split.TEST,
    )
    champion = Champion(version, scores, None, data_digest="digest", tolerance=0.0005)
    served = ServedCheck(images=4, equal_classes=4, worst_error=2e-7, tolerance=0.0005, accuracy=0.75, version="4")
    return RunSummary(
        outcome="promoted",
        reason="better | so",
        data="4 images",
        trained=version,
        trained_accuracy=0.75,
        challenger=Challenger(opened(""), None),
        champion=champion,
        served=served,
        stages_s={"data": 1.4, "train": 62.6},
        addresses=addresses(settings),
    )


def test_it_says_everything(summary, settings):
    rows = dict(summary.rows())
    assert rows["outcome"] == "promoted: better | so"
    assert rows["trained"] == "version 4, seed 7 (attempt 2 with these inputs), accuracy 0.7500"
    assert rows["in production"] == "shoes version 4, stage Production"
    assert rows["accuracy offline"] == "0.7500 on 4 test images"
    assert rows["through HTTP"] == (
        "4 of 4 classes as offline (accuracy 0.7500 on them), "
        "probabilities within 2e-07 of 0.0005 allowed, by version 4"
    )
    assert rows["time"] == "data 1 s, train 63 s"
    assert rows["predictions"] == f"{settings.router_url}/predict"
    assert settings.tracking_uri in rows["models, in MLflow"]


def test_it_names_the_candidates_and_the_best(summary):
    small, large = opened("small"), opened("large")
    outcomes = (
        Outcome(opened("hot"), None, reason=f"the loss is nan {'on the images ' * 20}"),
        Outcome(small, SimpleNamespace(validation_accuracy=0.81), 0.5),
        Outcome(large, SimpleNamespace(validation_accuracy=0.91239), 0.3),
    )
    rows = dict(dataclasses.replace(summary, challenger=Challenger(large, None, outcomes)).rows())
    assert rows["trained"] == "version 4, candidate large, seed 7 (attempt 2 with these inputs), accuracy 0.7500"
    hot, *others = rows["candidates"].split("; ")
    assert hot.startswith("hot failed: the loss is nan on the images")
    assert hot.endswith(" ...")
    assert len(hot) < 120
    assert others == ["small 0.8100 on validation", "large 0.9124 on validation (best)"]
    assert "candidates" not in dict(summary.rows())


def test_without_a_champion_it_leaves_those_lines_out(summary):
    nothing = dataclasses.replace(
        summary, trained=None, trained_accuracy=None, challenger=None, champion=None, served=None
    )
    names = [name for name, _ in nothing.rows()]
    assert names == ["outcome", "data", "time", "predictions", "runs, in Prefect", "models, in MLflow"]


def test_the_artifact_is_a_table_that_no_text_breaks(summary):
    lines = summary.to_markdown().splitlines()
    assert len(lines) == 2 + len(summary.rows())
    assert all(line.count("|") == 3 for line in lines)
    assert "better / so" in lines[2]
