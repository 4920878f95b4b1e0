"""The verb "evaluate": finish the bundle, score it and the champion on the same images, and judge."""

from dataclasses import dataclass
from pathlib import Path

import torch
from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from serving.bundle.contract import (
    MODULE,
    BundleError,
    bundle_digest,
    file_sha256,
    read_contract,
    verify_files,
)
from tasks import progress
from tasks.data.dataset import Dataset, PixelMap, Split
from tasks.data.pixels import build_pixels, open_pixels
from tasks.evaluation.bundle import Bundle
from tasks.evaluation.finish import finish_bundle
from tasks.evaluation.gates import GateLimits
from tasks.evaluation.judge import judge
from tasks.evaluation.metrics import Metrics, measure
from tasks.evaluation.pictures import draw_confusion, draw_learning_curves, draw_worst
from tasks.evaluation.report import GateReport, to_json, to_markdown
from tasks.evaluation.scores import PREDICTIONS, Scores, read_predictions, score_split, write_predictions
from tasks.prepare import Prepared
from tasks.registry.record import NO_CHAMPION, ModelVersion
from tasks.registry.registry import Registry
from tasks.registry.tracking import TrackedRun
from tasks.retraining import work_folder
from tasks.settings import Settings
from tasks.steps.store import StepFolder
from tasks.training.result import TrainedModel, read_events

STAGE = "evaluate"
BUNDLE = "bundle"  # the folder of it, in the step's


@dataclass(frozen=True)
class Champion:
    """The version in production with its scores on the test set, and the pixels, in its size, that were scored.

    `tolerance` is its bundle's: how far a served probability may be from the scored one.
    """

    version: ModelVersion
    scores: Scores
    pixels: PixelMap
    data_digest: str
    tolerance: float

    @property
    def accuracy(self) -> float:
        """The share of test images whose most probable class is right."""
        return float((self.scores.predicted == self.scores.labels).mean())


@dataclass(frozen=True)
class Evaluated:
    """A complete bundle with its scores and metrics on the test set, the champion's, and the gates' report."""

    bundle: Bundle
    scores: Scores
    metrics: Metrics
    champion: Champion | None
    report: GateReport

    @property
    def judged_against(self) -> int:
        """The version that the bundle was compared with, `NO_CHAMPION` where there was none."""
        return self.champion.version.version if self.champion else NO_CHAMPION


@task(name="evaluate model", cache_policy=NO_CACHE)
def evaluate_model(
    settings: Settings, prepared: Prepared, trained: TrainedModel, run: TrackedRun, step: StepFolder
) -> Evaluated:
    """Make the bundle, score it beside the champion, judge it, and log the evidence to MLflow and Prefect.

    Bundle and scores stay in the step's folder, and come from there where they are of the same weights; the
    comparison with the champion is always made anew.

    Raises:
        TrainingError: the model is not finite, or its module answers otherwise than the eager one.
        RegistryError: MLflow cannot say who the champion is; that is never taken for "none yet".
    """
    torch.set_num_threads(settings.training.threads)
    bundle, scores = find_evaluation(step) or make_evaluation(settings, prepared.pixels, trained, step)
    metrics = measure(scores.label_indices, scores.probabilities, scores.classes)
    champion = score_champion(settings, prepared.version.dataset)
    report = judge(
        scores,
        champion.scores if champion else None,
        limits=gate_limits(settings),
        is_data_changed=champion is not None and champion.data_digest != prepared.pixels.digest,
    )
    progress.update(STAGE, detail="evidence")
    evaluated = Evaluated(bundle, scores, metrics, champion, report)
    log_evidence(work_folder(settings, run.run_id) / "evaluation", evaluated, prepared.pixels, trained, run)
    get_run_logger().info("Verdict %s: %s", report.verdict, report.reason)
    return evaluated


def make_evaluation(
    settings: Settings, pixels: PixelMap, trained: TrainedModel, step: StepFolder
) -> tuple[Bundle, Scores]:
    """Make the bundle and its scores on the test set in the step's folder, which is complete with them."""
    step.clear()
    progress.update(STAGE, detail="bundle")
    bundle = finish_bundle(
        trained,
        pixels,
        folder=step.path / BUNDLE,
        data_digest=pixels.digest,
        tolerance=settings.gates.max_prediction_error,
    )
    progress.update(STAGE, detail="score the test set")
    scores = score_split(bundle.folder / MODULE, bundle.contract.classes, pixels, split=Split.TEST)
    write_predictions(scores, step.path / PREDICTIONS)
    step.complete({"bundle": bundle.digest, "predictions": file_sha256(step.path / PREDICTIONS)})
    return bundle, scores


def find_evaluation(step: StepFolder) -> tuple[Bundle, Scores] | None:
    """Return the bundle and the scores that are in the step's folder, verified; None where it is not complete."""
    record = step.record
    if record is None:
        return None
    folder, predictions = step.path / BUNDLE, step.path / PREDICTIONS
    try:
        contract = read_contract(folder)
        verify_files(folder, contract, served_only=False)
        found = {"bundle": bundle_digest(folder), "predictions": file_sha256(predictions)}
    except (BundleError, OSError) as error:
        progress.say(f"the evaluation kept in {step.path} cannot be used, and is made again: {error}")
        return None
    if found != record.result:
        progress.say(f"the evaluation kept in {step.path} was altered, and is made again")
        return None
    progress.say("the model is evaluated already: its bundle and scores are reused")
    return Bundle(folder, contract, found["bundle"]), read_predictions(predictions)


def score_champion(settings: Settings, dataset: Dataset) -> Champion | None:
    """Return the champion with its scores on the test set in its own image size, None where there is none yet."""
    registry = Registry(settings.tracking_uri, settings.model.name)
    version = registry.champion()
    if version is None:
        return None
    progress.update(STAGE, detail=f"score the champion, version {version.version}")
    cache = settings.home / "cache"
    folder = registry.download_bundle(version.version, cache)
    contract = read_contract(folder)
    pixels = build_pixels(dataset, channels=contract.channels, size_px=contract.size_px, cache=cache)
    scores = score_split(folder / MODULE, contract.classes, pixels, split=Split.TEST)
    return Champion(version, scores, pixels, contract.data_digest, contract.tolerance)


def gate_limits(settings: Settings) -> GateLimits:
    """Return the limits that the settings state."""
    gates = settings.gates
    return GateLimits(
        min_accuracy=gates.min_accuracy,
        max_accuracy_drop=gates.max_accuracy_drop,
        min_class_recall=gates.min_class_recall,
        min_class_images=gates.min_class_images,
        confidence=gates.confidence,
    )


def log_evidence(folder: Path, evaluated: Evaluated, pixels: PixelMap, trained: TrainedModel, run: TrackedRun) -> None:
    """Write report, pictures and per-image predictions to `folder`, and log them to MLflow and Prefect."""
    folder.mkdir(parents=True, exist_ok=True)
    metrics = evaluated.metrics
    table = to_markdown(evaluated.report)
    (folder / "gates.md").write_text(table)
    (folder / "gates.json").write_text(to_json(evaluated.report))
    write_predictions(evaluated.scores, folder / PREDICTIONS)
    draw_learning_curves(read_events(trained.folder), folder / "learning-curves.png")
    draw_confusion(metrics.confusion, evaluated.scores.classes, folder / "confusion-matrix.png")
    draw_worst(open_pixels(pixels, Split.TEST).images, evaluated.scores, folder / "worst-classified.png")
    run.log_artifacts(folder, "evaluation")
    run.log_metrics({"test_accuracy": metrics.accuracy, "test_log_loss": metrics.log_loss, "test_ece": metrics.ece})
    create_markdown_artifact(key="gates", markdown=table, description=f"Gates: {evaluated.report.verdict}")
