"""What a run prints at its end."""

import dataclasses
import datetime

import numpy as np
import pytest

from flows.summary import RunSummary, addresses
from tasks.data.dataset import Split
from tasks.evaluate import Champion
from tasks.evaluation.scores import Scores
from tasks.registry.record import ModelVersion
from tasks.registry.stages import Stage
from tasks.release import ServedCheck
from tasks.train import TrainingPlan
from tasks.training.spec import TrainingSpec


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
    spec = TrainingSpec("", "digest", ("bag", "coat"), 1, 28, recipe=None, seed=7, threads=1, device="cpu")
    served = ServedCheck(images=4, equal_classes=4, worst_error=2e-7, tolerance=0.0005, accuracy=0.75, version="4")
    return RunSummary(
        outcome="promoted",
        reason="better | so",
        data="4 images",
        trained=version,
        trained_accuracy=0.75,
        plan=TrainingPlan(spec, inputs="key", attempt=2, completed=2),
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


def test_without_a_champion_it_leaves_those_lines_out(summary):
    nothing = dataclasses.replace(summary, trained=None, trained_accuracy=None, champion=None, served=None)
    names = [name for name, _ in nothing.rows()]
    assert names == ["outcome", "data", "time", "predictions", "runs, in Prefect", "models, in MLflow"]


def test_the_artifact_is_a_table_that_no_text_breaks(summary):
    lines = summary.to_markdown().splitlines()
    assert len(lines) == 2 + len(summary.rows())
    assert all(line.count("|") == 3 for line in lines)
    assert "better / so" in lines[2]
