"""The verb "train" for candidates: several side by side, and the best on validation becomes the challenger."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks import progress
from tasks.errors import ConfigError, TrainingError, TrainingStopped
from tasks.places import Places
from tasks.plan import RetrainingPlan, best_of
from tasks.prepare import Prepared
from tasks.retraining import OpenRetraining, OpenTraining
from tasks.settings import Settings
from tasks.train import stage_of, train_model, validation_loss_of
from tasks.training.result import TrainedModel

CHALLENGER_TAG = "evergreen.challenger"
COLUMNS = ("candidate", "architecture", "seed", "validation accuracy", "validation loss", "time", "outcome")


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate: its model and the loss on validation, or the reason why there is none."""

    training: OpenTraining
    model: TrainedModel | None
    validation_loss: float = math.nan
    reason: str = ""

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.training.plan.name


@dataclass(frozen=True)
class Challenger:
    """The model that goes on to evaluation, its training, and the outcomes that it was chosen from, if several."""

    training: OpenTraining
    model: TrainedModel
    outcomes: tuple[Outcome, ...] = ()


@task(name="train candidate", task_run_name="train {opened.plan.title}", cache_policy=NO_CACHE)
def train_candidate(
    opened: OpenTraining, settings: Settings, prepared: Prepared, plan: RetrainingPlan, places: Places
) -> TrainedModel:
    """Train one candidate as soon as there is a place for it, and return its model.

    Raises:
        TrainingError, ConfigError: no model came out; its MLflow run is closed as FAILED, and the others go on.
        TrainingStopped: it left a checkpoint; the others stop too.
    """
    stage = stage_of(opened.plan)
    try:
        with places.take() as gpu, progress.StageTimes().measure(stage):
            return train_model.fn(settings, prepared, plan, opened, check=places.check_stop, gpu=gpu)
    except TrainingStopped:
        places.stop()
        raise
    except (TrainingError, ConfigError) as error:
        progress.fail(stage, f"failed: {error}")
        opened.run.finish("FAILED", f"{type(error).__name__}: {error}")
        raise


def outcome_of(opened: OpenTraining, found: TrainedModel | BaseException) -> Outcome:
    """Return what became of a candidate, from its model or its error.

    Raises:
        BaseException: the error, where it is none of the candidate's own.
    """
    if isinstance(found, TrainedModel):
        return Outcome(opened, found, validation_loss_of(found))
    if isinstance(found, TrainingError | ConfigError) and not isinstance(found, TrainingStopped):
        return Outcome(opened, None, reason=str(found))
    raise found


def choose(outcomes: Sequence[Outcome]) -> Challenger:
    """Return the best on validation, see `best_of`.

    Raises:
        TrainingError: none was trained.
    """
    trained = [(outcome, outcome.model) for outcome in outcomes if outcome.model is not None]
    if not trained:
        reasons = "\n".join(f"  {outcome.name}: {outcome.reason}" for outcome in outcomes)
        raise TrainingError(f"none of {len(outcomes)} candidates could be trained:\n{reasons}")
    best, model = trained[best_of([(model.validation_accuracy, outcome.validation_loss) for outcome, model in trained])]
    return Challenger(best.training, model, tuple(outcomes))


@task(name="choose challenger", cache_policy=NO_CACHE)
def choose_challenger(opened: OpenRetraining, outcomes: Sequence[Outcome]) -> Challenger:
    """Choose the challenger, and show all candidates in the parent's MLflow run and in Prefect.

    Raises:
        TrainingError: none was trained.
        RegistryError: MLflow cannot be written; the trainings are kept.
    """
    challenger = choose(outcomes)
    rows = [describe(outcome, challenger) for outcome in outcomes]
    table = to_markdown(rows)
    texts = {"candidates.md": table, "candidates.json": json.dumps(rows, indent=2) + "\n"}
    opened.run.log_texts(texts, "candidates")
    opened.run.log_metrics(figures(outcomes))
    opened.run.set_tags({CHALLENGER_TAG: challenger.training.plan.name})
    create_markdown_artifact(key="candidates", markdown=table, description=f"Best: {challenger.training.plan.name}")
    get_run_logger().info("The best of %s candidates is %s", len(outcomes), challenger.training.plan.name)
    return challenger


def figures(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return each trained candidate's figures as metrics of the parent: "NAME/validation_accuracy"."""
    return {
        f"{outcome.name}/{figure}": value
        for outcome in outcomes
        if outcome.model is not None
        for figure, value in (
            ("validation_accuracy", outcome.model.validation_accuracy),
            ("validation_loss", outcome.validation_loss),
            ("training_s", outcome.model.seconds),
        )
    }


def describe(outcome: Outcome, challenger: Challenger) -> dict[str, str]:
    """Return a candidate's row of the table, by column."""
    spec, model = outcome.training.plan.spec, outcome.model
    known = {"candidate": outcome.name, "architecture": spec.recipe.architecture, "seed": str(spec.seed)}
    if model is None:
        return dict.fromkeys(COLUMNS, "") | known | {"outcome": f"failed: {outcome.reason}"}
    return known | {
        "validation accuracy": f"{model.validation_accuracy:.4f}",
        "validation loss": f"{outcome.validation_loss:.4f}",
        "time": f"{model.seconds:.0f} s",
        "outcome": "challenger" if outcome.training is challenger.training else "trained",
    }


def to_markdown(rows: Sequence[dict[str, str]]) -> str:
    """Return the candidates as a Markdown table."""
    cells = [list(COLUMNS), ["---"] * len(COLUMNS), *([row[column] for column in COLUMNS] for row in rows)]
    escaped = [[text.replace("|", "/").replace("\n", " ") for text in line] for line in cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)
