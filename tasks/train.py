"""The verb "train": tracked trainings, each in a process and a step's folder of its own."""

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks import progress
from tasks.errors import RegistryError, TrainingError
from tasks.plan import RetrainingPlan, TrainingPlan, is_finished, plan_retraining, seeds_in
from tasks.prepare import Prepared
from tasks.registry.lineage import read_lineage
from tasks.registry.metric_stream import MetricStream
from tasks.registry.tracking import Tracking
from tasks.retraining import OpenTraining, work_folder
from tasks.settings import Settings
from tasks.training.code import PROJECT
from tasks.training.machine import Machine, probe_machine
from tasks.training.result import TrainedModel, read_events
from tasks.training.run import train

STAGE = "train"
MLFLOW_WAIT_S = 300.0  # a server that is started again answers within one minute; who is away longer needs a person


@task(name="plan training", cache_policy=NO_CACHE)
def plan_training(settings: Settings, prepared: Prepared, *, is_scheduled: bool) -> RetrainingPlan:
    """Decide the seeds: a scheduled run is attempt 0, a run by hand the first that is not finished.

    Raises:
        ConfigError: the weights file cannot be read.
        RegistryError: MLflow cannot say what was trained before.
    """
    experiment, tracking = settings.model.name, Tracking(settings.tracking_uri)
    for run_id in tracking.close_stale_runs(experiment):
        shutil.rmtree(work_folder(settings, run_id), ignore_errors=True)
        get_run_logger().warning("Run %s was left open by a process that is gone: closed as KILLED", run_id)
    plan = plan_retraining(
        settings,
        prepared.pixels,
        machine=probe_machine(device=settings.training.device, threads=settings.training.threads),
        finished_seeds=seeds_in(tracking, experiment),
        is_scheduled=is_scheduled,
    )
    return dataclasses.replace(plan, is_known=is_finished(tracking, experiment, plan))


@task(name="train model", task_run_name="train {opened.plan.title}", cache_policy=NO_CACHE)
def train_model(
    settings: Settings,
    prepared: Prepared,
    plan: RetrainingPlan,
    opened: OpenTraining,
    *,
    check: Callable[[], None] = lambda: None,
    gpu: str = "",
) -> TrainedModel:
    """Train, or return what is trained already, with its metrics in MLflow while it goes on, and what it came from.

    `check` is called with every event; what it raises stops the training, which leaves a checkpoint. `gpu` is the
    value of CUDA_VISIBLE_DEVICES for it, "" leaves that as it is.

    Raises:
        TrainingError: no model came out.
        RegistryError: MLflow did not come back; the training is kept.
    """
    run, spec, logger = opened.run, opened.plan.spec, get_run_logger()
    log_origin(settings, prepared, plan, opened)
    if opened.folder.record is not None:
        progress.say(f"{opened.plan.title} with seed {spec.seed} is trained already: reused")

    def warn(error: RegistryError) -> None:
        logger.warning("%s; the training goes on, and its metrics are logged when MLflow is back", error)

    with MetricStream(run, warn) as stream:
        trained = train(spec, opened.folder.path, TrainingListener(opened.plan, stream, check), gpu=gpu)
        check_machine(trained, plan.machine)
        opened.folder.complete(
            {
                "candidate": opened.plan.name,
                "weights_sha256": trained.weights_sha256,
                "validation_accuracy": trained.validation_accuracy,
                "validation_loss": validation_loss_of(trained),
            }
        )
        wait_for_metrics(stream, opened)
    run.log_metrics({"training_s": trained.seconds})
    run.set_tags({"evergreen.weights_sha256": trained.weights_sha256})
    logger.info(
        "Trained in %.0f s: validation accuracy %.4f, weights %s",
        trained.seconds,
        trained.validation_accuracy,
        trained.weights_sha256,
    )
    return trained


def log_origin(settings: Settings, prepared: Prepared, plan: RetrainingPlan, opened: OpenTraining) -> None:
    """Log what a training is made of, before it begins: later edits of the code are not of this training."""
    run, spec = opened.run, opened.plan.spec
    run.log_params({**dataclasses.asdict(spec.recipe), "seed": spec.seed, "threads": spec.threads})
    run.log_dataset(settings.model.name, prepared.version)
    run.log_lineage(
        read_lineage(
            PROJECT,
            lock=plan.lock,
            settings_json=settings.model_dump_json(indent=2),
            spec_json=spec.to_json(),
            inputs=opened.plan.key.parts,
            data_remote=prepared.version.remote,
            hardware=plan.machine.hardware,
            versions=plan.machine.versions,
        )
    )


@dataclass(frozen=True)
class TrainingListener:
    """Shows a training's events, and sends the epochs' numbers on their way to MLflow."""

    plan: TrainingPlan
    stream: MetricStream
    check: Callable[[], None]

    @property
    def stage(self) -> str:
        """The stage under which it is shown: with candidates each has its own."""
        return stage_of(self.plan)

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take one event."""
        self.check()
        match event["event"]:
            case "step":
                progress.update(self.stage, event["step"], event["steps"])
            case "epoch":
                detail = f"epoch {event['epoch']}: validation accuracy {event['validation_accuracy']:.4f}"
                progress.update(self.stage, event["step"], 0, detail)
                self.stream.add({name: value for name, value in event.items() if name != "event"})
            case "resumed":
                progress.say(f"{self.plan.title} goes on from step {event['step']:,} of {event['steps']:,}")
            case "discarded":
                progress.say(f"{self.plan.title} begins anew: {event['reason']}")
            case "checkpoint_failed":
                progress.say(f"{self.plan.title}: no checkpoint at step {event['step']:,}: {event['reason']}")


def stage_of(plan: TrainingPlan) -> str:
    """Return the stage under which a training's progress is shown."""
    return f"{STAGE} {plan.name}" if plan.name else STAGE


def validation_loss_of(trained: TrainedModel) -> float:
    """Return the mean cross-entropy on the validation images after the last epoch."""
    return float(read_events(trained.folder)[-1]["validation_loss"])


def check_machine(trained: TrainedModel, planned: Machine) -> None:
    """Check that the training ran where its key says.

    Raises:
        TrainingError: it did not; its weights would stand under another machine's key.
    """
    facts = [(trained.hardware, planned.hardware), (trained.versions, planned.versions)]
    for found, expected in facts:
        if dict(found) != dict(expected):
            raise TrainingError(f"trained on {found}, planned for {expected}: the machine changed meanwhile; run again")


def wait_for_metrics(stream: MetricStream, opened: OpenTraining) -> None:
    """Return when MLflow has all metrics of a finished training.

    Raises:
        RegistryError: it stays away; the next run logs them.
    """

    def show(waited_s: float) -> None:
        text = f"trained; waiting for MLflow, {waited_s:.0f} s of {MLFLOW_WAIT_S:.0f} s"
        progress.update(stage_of(opened.plan), detail=text)

    try:
        stream.finish(timeout_s=MLFLOW_WAIT_S, on_wait=show)
    except RegistryError as error:
        raise RegistryError(
            f"{opened.plan.title} is trained, but {error}: {stream.outage}; the training is kept in "
            f"{opened.folder.path}, and the next run logs it without training again"
        ) from error
