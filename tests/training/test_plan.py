"""The plan of a training: which seed, and which inputs count as trained before."""

from pathlib import Path
from types import SimpleNamespace

import pytest

import tasks.train
from tasks.data.dataset import PixelMap
from tasks.settings import Settings, load_settings
from tasks.train import INPUTS_TAG, TrainingPlan, plan_training
from tests.conftest import ROOT


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the finished runs, which a stand-in for MLflow counts."""
    keys: list[str] = []

    class Runs:
        def __init__(self, uri: str) -> None:
            pass

        def close_stale_runs(self, model: str) -> list[str]:
            return []

        def count_finished(self, model: str, tags: dict[str, str]) -> int:
            return keys.count(tags[INPUTS_TAG])

    monkeypatch.setattr(tasks.train, "Tracking", Runs)
    return keys


def plan(*, is_scheduled: bool, **training: object) -> TrainingPlan:
    settings = load_settings(ROOT / "evergreen.toml")
    changed: Settings = settings.model_copy(update={"training": settings.training.model_copy(update=training)})
    pixels = PixelMap(Path("pixels"), "d" * 64, ("a", "b"), 1, 28)
    return plan_training.fn(changed, SimpleNamespace(pixels=pixels), is_scheduled=is_scheduled)


def test_runs_by_hand_take_the_next_seed_and_scheduled_ones_the_first(finished):
    first = plan(is_scheduled=False, seed=5)
    assert (first.spec.seed, first.completed) == (5, 0)
    finished += [first.inputs] * 2
    by_hand, scheduled = plan(is_scheduled=False, seed=5), plan(is_scheduled=True, seed=5)
    assert (by_hand.spec.seed, by_hand.completed, by_hand.inputs) == (7, 2, first.inputs)
    assert (scheduled.spec.seed, scheduled.completed, scheduled.inputs) == (5, 2, first.inputs)


@pytest.mark.parametrize("change", [{"seed": 6}, {"threads": 3}, {"device": "cpu"}, {"epochs": 1}], ids=str)
def test_a_change_of_the_settings_is_something_new(finished, change):
    finished.append(plan(is_scheduled=True, seed=5, threads=2, device="auto").inputs)
    assert plan(is_scheduled=True, seed=5, threads=2, device="auto").completed == 1
    assert plan(is_scheduled=True, **{"seed": 5, "threads": 2, "device": "auto", **change}).completed == 0
