"""The plan of a retraining: which trainings, which seeds, and what counts as done before."""

from dataclasses import replace
from pathlib import Path

import pytest

from tasks import plan as planning
from tasks.data.dataset import PixelMap
from tasks.errors import ConfigError
from tasks.plan import (
    INPUTS_TAG,
    RETRAINING_TAG,
    SEED_TAG,
    RetrainingPlan,
    best_of,
    is_finished,
    key_of_evaluation,
    lock_file,
    plan_retraining,
    seeds_in,
)
from tasks.settings import Settings, load_settings
from tasks.settings_training import CandidateSettings
from tests.conftest import ROOT
from tests.steps.conftest import MACHINE

PIXELS = PixelMap(Path("pixels"), "d" * 64, ("a", "b"), 1, 28)


class Runs:
    """A stand-in for MLflow: the tags of finished runs."""

    def __init__(self) -> None:
        self.tags: list[dict[str, str]] = []

    def find_finished(self, experiment: str, tags: dict[str, str]) -> list[dict[str, str]]:
        return [found for found in self.tags if tags.items() <= found.items()]

    def finish(self, plan: RetrainingPlan) -> None:
        """Add the runs that a retraining leaves."""
        self.tags.append({RETRAINING_TAG: plan.key.digest})
        self.tags += [{INPUTS_TAG: one.inputs, SEED_TAG: str(one.spec.seed)} for one in plan.trainings]


@pytest.fixture
def runs() -> Runs:
    return Runs()


def settings_with(*candidates: dict[str, object], **training: object) -> Settings:
    settings = load_settings(ROOT / "evergreen.toml")
    changes: dict[str, object] = {"training": settings.training.model_copy(update={"seed": 5, **training})}
    changes["candidates"] = tuple(CandidateSettings(**values) for values in candidates)
    return settings.model_copy(update=changes)


def plan(settings: Settings, runs: Runs, *, is_scheduled: bool = False, pixels: PixelMap = PIXELS) -> RetrainingPlan:
    return plan_retraining(
        settings, pixels, machine=MACHINE, finished_seeds=seeds_in(runs, "shoes"), is_scheduled=is_scheduled
    )


def seeds(found: RetrainingPlan) -> list[int]:
    assert [training.key.parts["seed"] for training in found.trainings] == [
        str(training.spec.seed) for training in found.trainings
    ]
    return [training.spec.seed for training in found.trainings]


def test_runs_by_hand_take_the_next_seed_and_scheduled_ones_the_first(runs):
    settings = settings_with()
    for expected in (5, 6, 7):
        by_hand = plan(settings, runs)
        assert (seeds(by_hand), by_hand.trainings[0].attempt) == ([expected], expected - 5)
        assert seeds(plan(settings, runs, is_scheduled=True)) == [5]
        runs.finish(by_hand)


def test_a_seed_that_was_finished_twice_is_one_attempt(runs):
    settings = settings_with()
    first = plan(settings, runs)
    runs.finish(first)
    runs.finish(first)
    assert seeds(plan(settings, runs)) == [6]


def test_a_seed_that_another_base_reached_is_not_trained_again(runs):
    runs.finish(plan(settings_with(seed=6), runs))
    assert seeds(plan(settings_with(), runs)) == [5]
    runs.finish(plan(settings_with(), runs))
    assert seeds(plan(settings_with(), runs)) == [7]


def test_unchanged_inputs_are_known_once_they_were_judged(runs):
    settings = settings_with()
    scheduled = plan(settings, runs, is_scheduled=True)
    assert not is_finished(runs, "shoes", scheduled)
    runs.finish(scheduled)
    assert is_finished(runs, "shoes", plan(settings, runs, is_scheduled=True))
    assert not is_finished(runs, "shoes", plan(settings, runs))


@pytest.mark.parametrize("change", [{"seed": 6}, {"threads": 3}, {"epochs": 1}], ids=str)
def test_a_change_of_the_training_is_something_new(runs, change):
    runs.finish(plan(settings_with(), runs, is_scheduled=True))
    changed = plan(settings_with(**change), runs, is_scheduled=True)
    assert not is_finished(runs, "shoes", changed)


def test_a_change_of_the_gates_alone_is_judged_anew_with_the_training_that_is_known(runs):
    settings = settings_with()
    first = plan(settings, runs, is_scheduled=True)
    runs.finish(first)
    stricter = settings.model_copy(update={"gates": settings.gates.model_copy(update={"min_accuracy": 0.99})})
    changed = plan(stricter, runs, is_scheduled=True)
    assert not is_finished(runs, "shoes", changed)
    assert [one.key for one in changed.trainings] == [one.key for one in first.trainings]


def test_what_changes_nothing_is_nothing_new(runs):
    runs.finish(plan(settings_with(), runs, is_scheduled=True))
    for change in ({"checkpoint_steps": 1}, {"loader_workers": 9}, {"max_resident_bytes": 0}, {"device": "cpu"}):
        assert is_finished(runs, "shoes", plan(settings_with(**change), runs, is_scheduled=True)), change
    elsewhere = replace(PIXELS, folder=Path("elsewhere"))
    assert is_finished(runs, "shoes", plan(settings_with(), runs, is_scheduled=True, pixels=elsewhere))


TWO = ({"name": "small"}, {"name": "long", "epochs": 20})


def test_candidates_are_trainings_with_attempts_of_their_own(runs):
    found = plan(settings_with(*TWO), runs)
    assert [(one.name, one.title, one.spec.recipe.epochs) for one in found.trainings] == [
        ("small", "small", 8), ("long", "long", 20)
    ]  # fmt: skip
    assert found.has_candidates
    assert found.trainings[0].key != found.trainings[1].key
    runs.tags.append({INPUTS_TAG: found.trainings[1].inputs, SEED_TAG: "5"})
    assert seeds(plan(settings_with(*TWO), runs)) == [5, 6]
    assert seeds(plan(settings_with(*TWO), runs, is_scheduled=True)) == [5, 5]


def test_candidates_that_differ_by_their_seed_alone_never_meet(runs):
    settings = settings_with({"name": "a"}, {"name": "b", "seed": 6})
    first = plan(settings, runs)
    assert seeds(first) == [5, 6]
    assert first.trainings[0].inputs == first.trainings[1].inputs
    runs.finish(first)
    assert seeds(plan(settings, runs)) == [7, 8]
    assert seeds(plan(settings, runs, is_scheduled=True)) == [5, 6]


def test_the_only_training_has_no_name(runs):
    found = plan(settings_with(), runs)
    assert not found.has_candidates
    assert (found.trainings[0].name, found.trainings[0].title) == ("", "small_cnn")


def test_a_weights_file_is_relative_to_the_project(runs):
    with pytest.raises(ConfigError, match=rf"training.weights_file = '{ROOT}/gone.pt' cannot be read"):
        plan(settings_with(weights_file="gone.pt"), runs)


@pytest.mark.parametrize(("cuda", "name"), [("none", "cpu.lock"), ("12.8", "gpu.lock")])
def test_the_lock_is_that_of_the_build(cuda, name, tmp_path, monkeypatch):
    machine = replace(MACHINE, versions={**MACHINE.versions, "cuda": cuda})
    assert lock_file(machine) == ROOT / "locks" / name
    monkeypatch.setattr(planning, "PROJECT", tmp_path)
    with pytest.raises(ConfigError, match=f"the dependency lock {tmp_path}/locks/{name} is missing: restore it"):
        lock_file(machine)


def test_an_evaluation_is_keyed_by_the_code_that_the_run_began_with(runs):
    began = replace(plan(settings_with(), runs), scoring_code="c" * 64)
    parts = key_of_evaluation(settings_with(), PIXELS, began, "a" * 64).parts
    assert (parts["code.evaluation"], parts["weights"], parts["threads"]) == ("c" * 64, "a" * 64, "2")


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ([(0.9, 0.3)], 0),
        ([(0.9, 0.3), (0.91, 0.5)], 1),
        ([(0.9, 0.3), (0.9, 0.2)], 1),
        ([(0.9, 0.3), (0.9, 0.3)], 0),
        ([(0.8, 0.1), (0.9, 0.3), (0.9, 0.3)], 1),
    ],
    ids=["one", "accuracy", "then loss", "then order", "the first of the best"],
)
def test_the_best_on_validation(figures, best):
    assert best_of(figures) == best
