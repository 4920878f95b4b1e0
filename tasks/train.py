"""The verb "train": one tracked training in a process of its own."""

import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks import progress
from tasks.errors import RegistryError
from tasks.prepare import Prepared
from tasks.registry.lineage import read_lineage
from tasks.registry.tracking import TrackedRun, Tracking
from tasks.settings import Settings
from tasks.training.inputs import PROJECT, inputs_key
from tasks.training.result import TrainedModel
from tasks.training.run import train
from tasks.training.spec import Execution, Recipe, TrainingSpec

STAGE = "train"
INPUTS_TAG = "evergreen.inputs"
SEED_TAG = "evergreen.seed"


@dataclass(frozen=True)
class TrainingPlan:
    """What will be trained: the spec, the key of its inputs, and how many trainings of them were completed before."""

    spec: TrainingSpec
    inputs: str
    attempt: int
    completed: int


@task(name="plan training", cache_policy=NO_CACHE)
def plan_training(settings: Settings, prepared: Prepared, *, is_scheduled: bool) -> TrainingPlan:
    """Decide the seed: a scheduled run is attempt 0, a run by hand the next after those completed.

    Raises:
        ConfigError: the weights file cannot be read.
        RegistryError: MLflow cannot say what was trained before.
    """
    spec = first_spec(settings, prepared)
    key = inputs_key(spec, lock=lock_file())
    tracking = Tracking(settings.tracking_uri)
    for run_id in tracking.close_stale_runs(settings.model.name):
        shutil.rmtree(work_folder(settings, run_id), ignore_errors=True)
        get_run_logger().warning("Run %s was left open by a process that is gone: closed as KILLED", run_id)
    completed = tracking.count_finished(settings.model.name, {INPUTS_TAG: key})
    attempt = 0 if is_scheduled else completed
    return TrainingPlan(dataclasses.replace(spec, seed=spec.seed + attempt), key, attempt, completed)


def start_run(settings: Settings, plan: TrainingPlan) -> TrackedRun:
    """Begin the MLflow run of one training; as a context it closes itself."""
    name = f"{plan.spec.recipe.architecture}-seed-{plan.spec.seed}"
    tags = {INPUTS_TAG: plan.inputs, SEED_TAG: str(plan.spec.seed)}
    return Tracking(settings.tracking_uri).start_run(settings.model.name, name, tags)


@task(name="train model", cache_policy=NO_CACHE)
def train_model(settings: Settings, prepared: Prepared, plan: TrainingPlan, run: TrackedRun) -> TrainedModel:
    """Train, with its metrics in MLflow while it goes on, and log what it came from.

    Raises:
        TrainingError: no model came out.
    """
    run.log_params({**dataclasses.asdict(plan.spec.recipe), "seed": plan.spec.seed, "threads": plan.spec.threads})
    run.log_dataset(settings.model.name, prepared.version)
    stream = MetricStream(run)
    trained = train(plan.spec, work_folder(settings, run.run_id) / "training", stream.take)
    stream.flush()
    run.log_metrics({"training_s": trained.seconds})
    run.log_lineage(
        read_lineage(
            settings.root,
            lock=lock_file(),
            settings_json=settings.model_dump_json(indent=2),
            hardware=trained.hardware,
            versions=trained.versions,
        )
    )
    run.set_tags({"evergreen.weights_sha256": trained.weights_sha256})
    get_run_logger().info(
        "Trained in %.0f s: validation accuracy %.4f, weights %s",
        trained.seconds,
        trained.validation_accuracy,
        trained.weights_sha256,
    )
    return trained


class MetricStream:
    """Takes a training's events: shows each, and logs epochs to MLflow; while MLflow is away they are kept."""

    def __init__(self, run: TrackedRun) -> None:
        self.run = run
        self.pending: list[dict[str, Any]] = []

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event."""
        if event["event"] == "step":
            progress.update(STAGE, event["step"], event["steps"])
        elif event["event"] == "epoch":
            detail = f"epoch {event['epoch']}: validation accuracy {event['validation_accuracy']:.4f}"
            progress.update(STAGE, event["step"], 0, detail)
            self.pending.append({name: value for name, value in event.items() if name != "event"})
            try:
                self.flush()
            except RegistryError as error:
                get_run_logger().warning("%s; the metrics are kept and logged later", error)

    def flush(self) -> None:
        """Log what is pending."""
        self.run.log_training(self.pending)
        self.pending.clear()


def first_spec(settings: Settings, prepared: Prepared) -> TrainingSpec:
    """Return the spec of these inputs' first training, with the base seed."""
    return TrainingSpec(
        pixels=str(prepared.pixels.folder),
        data_digest=prepared.pixels.digest,
        classes=prepared.pixels.classes,
        channels=settings.model.channels,
        size_px=settings.model.size_px,
        recipe=recipe_of(settings),
        seed=settings.training.seed,
        threads=settings.training.threads,
        device=settings.training.device,
        execution=execution_of(settings),
    )


def recipe_of(settings: Settings) -> Recipe:
    """Return the training settings that stand in the spec's recipe; a weights file is relative to the project."""
    values = settings.training.model_dump()
    if values["weights_file"]:
        values["weights_file"] = str(settings.root / values["weights_file"])
    return Recipe(**{field.name: values[field.name] for field in dataclasses.fields(Recipe)})


def execution_of(settings: Settings) -> Execution:
    """Return the training settings that decide time and memory, and no bit of the weights."""
    values = settings.training.model_dump()
    return Execution(**{field.name: values[field.name] for field in dataclasses.fields(Execution)})


def lock_file() -> Path:
    """Return the lock of this environment: the one for GPUs where torch was built with CUDA."""
    import torch  # noqa: PLC0415  # seconds to import, and this is the only question

    return PROJECT / "locks" / ("gpu.lock" if torch.version.cuda else "cpu.lock")


def work_folder(settings: Settings, run_id: str) -> Path:
    """Return where a run keeps its files until MLflow has them."""
    return settings.home / "runs" / run_id
