"""The flow that keeps the model fresh: prepare, train, evaluate, judge, register, release."""

from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.candidates import train_challenger
from flows.run_settings import settings_for_run
from flows.summary import RunSummary, addresses
from tasks import progress
from tasks.candidates import Challenger
from tasks.evaluate import Champion, Evaluated, evaluate_model, score_champion
from tasks.evaluation.gates import Verdict
from tasks.plan import RetrainingPlan, key_of_evaluation
from tasks.prepare import Prepared, prepare_data
from tasks.progress import StageTimes
from tasks.register import register_model
from tasks.registry.record import REASON_TAG, RELEASE_AGAINST_TAG, ModelVersion
from tasks.release import (
    HTTP_STAGE,
    ServedCheck,
    check_served,
    current_version,
    find_unfinished_release,
    release_version,
)
from tasks.retraining import open_retraining
from tasks.settings import Settings
from tasks.train import plan_training


@flow(name="retrain", description="Prepare data, train a challenger, judge it against the champion, release it.")
def retrain(scheduled: bool = False, release: bool = True, overrides: dict[str, Any] | None = None) -> RunSummary:
    """Run the whole pipeline once and return what it came to.

    Args:
        scheduled: Train with the first seed only, as every night: unchanged inputs end with "nothing new".
        release: Release the model where all gates pass; otherwise it is only registered.
        overrides: Settings for this run alone, by their dotted name: {"training.epochs": 2}.

    Raises:
        EvergreenError: a stage could not be done; the champion goes on serving.
    """
    settings = settings_for_run(overrides or {})
    times = StageTimes()
    with times.measure("data"):
        prepared = prepare_data(settings)
    plan = plan_training(settings, prepared, is_scheduled=scheduled)
    if release and (unfinished := find_unfinished_release(settings)) is not None:
        with times.measure("release"):
            finish_release(settings, unfinished)
    if scheduled and plan.is_known:
        return report_nothing_new(settings, prepared, times)
    challenger, version, evaluated = make_challenger(settings, prepared, plan, times, is_release_wanted=release)
    report = evaluated.report
    champion = evaluated.champion
    outcome = "kept the champion" if champion else "nothing released"
    if report.verdict is Verdict.PASS and release:
        with times.measure("release"):
            release_version(settings, version.version, why=report.reason, judged_against=evaluated.judged_against)
        version = current_version(settings, version.version)
        contract = evaluated.bundle.contract
        champion = Champion(
            version, evaluated.scores, prepared.pixels, data_digest=contract.data_digest, tolerance=contract.tolerance
        )
        outcome = "promoted"
    elif report.verdict is Verdict.PASS:
        outcome = "registered, not released"
    summary = RunSummary(
        outcome=outcome,
        reason=report.reason,
        data=describe_data(prepared),
        trained=version,
        trained_accuracy=evaluated.metrics.accuracy,
        challenger=challenger,
        champion=champion,
        served=check_champion(settings, champion, times),
        stages_s=times,
        addresses=addresses(settings),
    )
    return publish(summary)


def finish_release(settings: Settings, version: ModelVersion) -> None:
    """Release a version that an earlier run judged but did not live to release."""
    progress.say(f"version {version.version} passed its gates in a run that did not end: releasing it")
    judged_against = int(version.tags[RELEASE_AGAINST_TAG])
    release_version(settings, version.version, why=version.tags[REASON_TAG], judged_against=judged_against)


def make_challenger(
    settings: Settings, prepared: Prepared, plan: RetrainingPlan, times: StageTimes, *, is_release_wanted: bool
) -> tuple[Challenger, ModelVersion, Evaluated]:
    """Train, evaluate and register one model: the only one, or the best of several candidates."""
    with open_retraining(settings, plan) as opened:
        with times.measure("train"):
            challenger = train_challenger(settings, prepared, opened)
        run, model = challenger.training.run, challenger.model
        with times.measure("evaluate"):
            step = opened.hold(key_of_evaluation(settings, prepared.pixels, plan, model.weights_sha256))
            evaluated = evaluate_model(settings, prepared, model, run, step)
        with times.measure("register"):
            step = opened.hold(plan.key)
            version = register_model(settings, evaluated, run, step, is_release_wanted=is_release_wanted)
    return challenger, version, evaluated


def report_nothing_new(settings: Settings, prepared: Prepared, times: StageTimes) -> RunSummary:
    """Sum up a scheduled run whose inputs were trained and judged before."""
    champion = score_champion(settings, prepared.version.dataset)
    summary = RunSummary(
        outcome="nothing new",
        reason="data, code, lock, settings and machine are those of an earlier run",
        data=describe_data(prepared),
        trained=None,
        trained_accuracy=None,
        challenger=None,
        champion=champion,
        served=check_champion(settings, champion, times),
        stages_s=times,
        addresses=addresses(settings),
    )
    return publish(summary)


def check_champion(settings: Settings, champion: Champion | None, times: StageTimes) -> ServedCheck | None:
    """Compare what production answers with the champion's offline scores; None where nothing is in production."""
    if champion is None:
        return None
    with times.measure(HTTP_STAGE):
        return check_served(settings, champion)


def describe_data(prepared: Prepared) -> str:
    """Return which data the run used, and why it was packed or reused."""
    dataset = prepared.version.dataset
    left_out = f", {sum(dataset.quarantined.values()):,} in quarantine" if dataset.quarantined else ""
    return f"{dataset.size:,} images{left_out}, digest {dataset.digest[:12]}; {prepared.reason}; {prepared.baseline}"


def publish(summary: RunSummary) -> RunSummary:
    """Show the summary as an artifact of the flow run, and return it."""
    create_markdown_artifact(key="summary", markdown=summary.to_markdown(), description=summary.outcome)
    return summary
