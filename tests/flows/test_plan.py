"""`evergreen plan`: what it says before, half way through and after a training, and what it must not do."""

import dataclasses
import json
import subprocess
import sys

import pytest

from flows import plan as planning
from flows.foreseen import newest_checkpoint
from flows.plan import Outlook, foresee
from tasks.data.outlook import foresee_packing
from tasks.data.pixels import build_pixels, describe_pixels
from tasks.plan import RetrainingPlan, key_of_evaluation, plan_retraining
from tasks.settings import load_settings
from tasks.steps.key import StepKey
from tasks.steps.store import StepStore
from tasks.training.checkpoint import FOLDER, file_of
from tests.conftest import ROOT
from tests.data.conftest import ASSETS, Project
from tests.steps.conftest import MACHINE

CLASSES = ("bag", "coat")
TWO = '[{"name": "small"}, {"name": "long", "epochs": 20}]'


@pytest.fixture
def packed(settings, monkeypatch):
    """A small dataset, packed and unpacked, in the project of `settings`; MLflow is down."""
    monkeypatch.setattr(planning, "probe_machine", lambda **_: MACHINE)
    monkeypatch.setenv("EVERGREEN_DATA__SOURCES", '[{"kind": "image_folder", "location": "images"}]')
    monkeypatch.setenv("EVERGREEN_DATA__MIN_IMAGES_PER_CLASS", "5")
    monkeypatch.setenv("EVERGREEN_TRAINING__BATCH_SIZE", "10")
    for name in CLASSES:
        (settings.root / "images" / name).mkdir(parents=True)
        for path in (ASSETS / name).glob("*.png"):
            (settings.root / "images" / name / path.name).write_bytes(path.read_bytes())
    found = load_settings()
    project = Project(found.root, found.data)
    dataset = project.prepare()
    build_pixels(dataset, channels=1, size_px=28, cache=found.home / "cache")
    return project


def rows(outlook: Outlook) -> dict[str, tuple[bool, tuple[str, ...]]]:
    return {step.step: (step.is_hit, step.why) for step in outlook.steps}


def finished_plan(*, is_scheduled: bool = False) -> RetrainingPlan:
    """The plan that a first run would have."""
    settings = load_settings()
    dataset = foresee_packing(settings.data, root=settings.root, home=settings.home).dataset
    pixels = describe_pixels(dataset, channels=1, size_px=28, cache=settings.home / "cache")
    return plan_retraining(settings, pixels, machine=MACHINE, finished_seeds=lambda _: (), is_scheduled=is_scheduled)


def complete(key: StepKey, **result: object) -> None:
    with StepStore(load_settings().home).hold(key, pytest.fail) as step:
        step.complete(result)


def train(plan: RetrainingPlan) -> None:
    """Note the plan's trainings as complete, the later the better."""
    for number, training in enumerate(plan.trainings):
        figures = {"validation_accuracy": 0.8 + number / 100, "validation_loss": 0.5}
        complete(training.key, candidate=training.name, weights_sha256=f"{number}" * 64, **figures)


def test_before_the_first_training(packed):
    outlook = foresee(load_settings(), is_scheduled=False)
    assert rows(outlook) == {
        "data": (True, ("60 images, unchanged",)),
        "pixels": (True, ("1x28",)),
        "train": (False, ("never made here",)),
        "evaluate": (False, ("of a model that is to be trained",)),
        "register": (False, ("never made here",)),
    }
    assert outlook.seeds.startswith("20261120, attempt 0, for want of MLflow: nothing answers at http://127.0.0.1:")


def test_after_a_run_all_is_known_but_the_registration_which_mlflow_knows(packed):
    plan = finished_plan()
    train(plan)
    settings = load_settings()
    pixels = planning.pixels_of(settings, foresee_packing(settings.data, root=packed.root, home=packed.home).dataset)
    complete(key_of_evaluation(settings, pixels, plan, "0" * 64))
    complete(plan.key)
    outlook = foresee(settings, is_scheduled=True)
    assert {name: is_hit for name, (is_hit, _) in rows(outlook).items()} == {
        "data": True, "pixels": True, "train": True, "evaluate": True, "register": False
    }  # fmt: skip
    assert [step.key for step in outlook.steps][2] == plan.trainings[0].key.digest[:12]


@pytest.mark.parametrize(
    ("key", "value", "step", "why"),
    [
        ("training.epochs", 9, "train", "training.epochs: 8 -> 9"),
        ("training.seed", 6, "train", "seed: 20261120 -> 6"),
        ("training.threads", 1, "train", "threads: 2 -> 1"),
        ("gates.min_accuracy", 0.9, "register", "gates.min_accuracy: 0.88 -> 0.9"),
        ("gates.max_prediction_error", 0.001, "evaluate", "gates.max_prediction_error: 0.0005 -> 0.001"),
    ],
)
def test_a_change_is_named(packed, key, value, step, why):
    plan = finished_plan()
    train(plan)
    settings = load_settings()
    pixels = planning.pixels_of(settings, foresee_packing(settings.data, root=packed.root, home=packed.home).dataset)
    complete(key_of_evaluation(settings, pixels, plan, "0" * 64))
    complete(plan.key)
    found = rows(foresee(settings.override({key: value}), is_scheduled=True))
    is_hit, reasons = found[step]
    assert not is_hit
    assert why in reasons
    assert found["train"][0] is (step != "train")


def test_data_that_changed_is_the_reason_of_all_that_follows(packed):
    train(finished_plan())
    next((packed.images / "coat").glob("*.png")).unlink()
    found = rows(foresee(load_settings().override({"training.epochs": 9}), is_scheduled=False))
    assert found["data"] == (False, ("image_folder is new or changed",))
    assert found["pixels"] == (False, ("data: image_folder is new or changed",))
    assert found["train"] == (False, ("data: image_folder is new or changed", "training.epochs: 8 -> 9"))


def test_another_size_unpacks_the_images_anew(packed):
    found = rows(foresee(load_settings().override({"model.size_px": 32}), is_scheduled=False))
    assert found["data"][0]
    assert found["pixels"] == (False, ("1x32",))


def test_a_training_that_was_cut_short_says_where_it_goes_on(packed):
    plan = finished_plan()
    store = StepStore(load_settings().home)
    with store.hold(plan.trainings[0].key, pytest.fail) as step:
        for number in (5, 10):
            path = file_of(step.path / FOLDER, number)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"")
    assert newest_checkpoint(store.folder(plan.trainings[0].key)) == 10
    dataset = foresee_packing(load_settings().data, root=packed.root, home=packed.home).dataset
    steps = 8 * (sum(dataset.counts["train"]) // 10)
    found = rows(foresee(load_settings(), is_scheduled=False))
    assert found["train"] == (False, (f"resumes at step 10 of {steps}", "never made here"))


def test_candidates_each_have_a_line_and_the_best_is_evaluated(packed, monkeypatch):
    monkeypatch.setenv("EVERGREEN_CANDIDATES", TWO)
    plan = finished_plan()
    train(dataclasses.replace(plan, trainings=plan.trainings[:1]))
    found = rows(foresee(load_settings(), is_scheduled=False))
    assert (found["train small"], found["train long"]) == ((True, ()), (False, ("never made here",)))
    assert found["evaluate"] == (False, ("of a model that is to be trained",))
    train(plan)
    settings = load_settings()
    pixels = planning.pixels_of(settings, foresee_packing(settings.data, root=packed.root, home=packed.home).dataset)
    complete(key_of_evaluation(settings, pixels, plan, "1" * 64))  # of "long", the best
    assert rows(foresee(settings, is_scheduled=False))["evaluate"][0]


def test_a_scheduled_run_of_what_mlflow_knows_is_nothing_new(packed, monkeypatch):
    known = finished_plan(is_scheduled=True)

    class Tracking:
        def find_finished(self, experiment, tags):
            return [{}] if tags == {"evergreen.retraining": known.key.digest} else []

    monkeypatch.setattr(planning, "reach_tracking", lambda _: Tracking())
    outlook = foresee(load_settings(), is_scheduled=True)
    assert outlook.outcome == "would train nothing: nothing new"
    assert all(is_hit for is_hit, _ in rows(outlook).values())
    assert rows(outlook)["train"] == (True, ("finished by an earlier run",))
    assert outlook.seeds == "20261120, attempt 0"


def test_it_prints_a_table_or_json(packed, evergreen):
    said = evergreen("plan", "--set", "training.epochs=2")
    assert said.code == 0
    assert [line.split()[:2] for line in said.out.splitlines()[:5]] == [
        ["data", "hit"], ["pixels", "hit"], ["train", "miss"], ["evaluate", "miss"], ["register", "miss"]
    ]  # fmt: skip
    found = evergreen("plan", "--scheduled", "--json").json
    assert [step["step"] for step in found["steps"]] == ["data", "pixels", "train", "evaluate", "register"]
    assert found["steps"][2]["why"] == ["never made here"]
    assert set(found) == {"steps", "seeds", "outcome"}


def test_it_writes_nothing(packed, settings):
    before = {str(path): path.stat().st_mtime_ns for path in settings.root.rglob("*")}
    foresee(load_settings(), is_scheduled=False)
    assert {str(path): path.stat().st_mtime_ns for path in settings.root.rglob("*")} == before


def test_it_does_without_prefect_and_without_torch(packed, settings):
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
sys.argv = ["evergreen", "plan", "--json"]
from flows.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code
print(sorted(sys.modules.keys() & {{"prefect", "torch", "mlflow", "dvc"}}), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"][0]["is_hit"] is True
    assert done.stderr.splitlines()[-1] == "[]"
