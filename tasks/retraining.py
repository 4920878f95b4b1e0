"""A retraining under way: the steps' folders that it holds, and its MLflow runs, which end with it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks import progress
from tasks.plan import INPUTS_TAG, RETRAINING_TAG, SEED_TAG, STEP_KEY_TAG, RetrainingPlan, TrainingPlan
from tasks.registry.tracking import TrackedRun, Tracking
from tasks.settings import Settings
from tasks.steps.key import StepKey
from tasks.steps.store import KEPT, StepFolder, StepStore

CANDIDATE_TAG = "evergreen.candidate"


@dataclass(frozen=True)
class OpenTraining:
    """A training with its MLflow run and the step's folder, which this process holds."""

    plan: TrainingPlan
    run: TrackedRun
    folder: StepFolder


@dataclass(frozen=True)
class OpenRetraining:
    """A retraining under way: `run` is its MLflow run, that of its only training or the parent of several."""

    plan: RetrainingPlan
    run: TrackedRun
    trainings: tuple[OpenTraining, ...]
    hold: Callable[[StepKey], StepFolder]  # a further step's folder, for as long as the retraining


@contextlib.contextmanager
def open_retraining(settings: Settings, plan: RetrainingPlan) -> Iterator[OpenRetraining]:
    """Hold the steps' folders and begin the MLflow runs, which end with the block, all of them in the same way.

    A killed run leaves none FINISHED, so that the next one has the same seeds and finds what is trained already.
    """
    store = StepStore(settings.home, kept=max(KEPT, 2 * len(plan.trainings)))
    with contextlib.ExitStack() as opened:

        def hold(key: StepKey) -> StepFolder:
            return opened.enter_context(store.hold(key, progress.say))

        in_one_order = sorted(plan.trainings, key=lambda training: training.key.digest)  # two runs do not cross
        folders = {training.key.digest: hold(training.key) for training in in_one_order}
        tags = {RETRAINING_TAG: plan.key.digest}
        parent = opened.enter_context(start_parent(settings, plan, tags)) if plan.has_candidates else None
        trainings = [
            OpenTraining(
                training,
                opened.enter_context(start_run(settings, training, parent, {} if parent else tags)),
                folders[training.key.digest],
            )
            for training in plan.trainings
        ]
        yield OpenRetraining(plan, parent or trainings[0].run, tuple(trainings), hold)


def start_parent(settings: Settings, plan: RetrainingPlan, tags: Mapping[str, str]) -> TrackedRun:
    """Begin the MLflow run that holds those of the candidates."""
    name = f"retrain-{len(plan.trainings)}-candidates"
    return Tracking(settings.tracking_uri).start_run(settings.model.name, name, tags)


def start_run(
    settings: Settings, training: TrainingPlan, parent: TrackedRun | None, tags: Mapping[str, str]
) -> TrackedRun:
    """Begin the MLflow run of one training; as a context it closes itself."""
    own = {INPUTS_TAG: training.inputs, SEED_TAG: str(training.spec.seed), STEP_KEY_TAG: training.key.digest}
    if training.name:
        own[CANDIDATE_TAG] = training.name
    return Tracking(settings.tracking_uri).start_run(
        settings.model.name,
        f"{training.title}-seed-{training.spec.seed}",
        {**tags, **own},
        parent=parent.run_id if parent else None,
    )


def work_folder(settings: Settings, run_id: str) -> Path:
    """Return where a run keeps its files until MLflow has them."""
    return settings.home / "runs" / run_id
