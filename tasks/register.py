"""The verb "register": the bundle into MLflow's registry, accepted or not."""

import shutil

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.evaluate import Evaluated
from tasks.evaluation.report import report_digest
from tasks.registry.record import (
    ACCURACY_TAG,
    DATA_DIGEST_TAG,
    GATE_DIGEST_TAG,
    REASON_TAG,
    RELEASE_AGAINST_TAG,
    ModelVersion,
)
from tasks.registry.registration import register
from tasks.registry.registry import Registry
from tasks.registry.tracking import TrackedRun
from tasks.retraining import work_folder
from tasks.settings import Settings
from tasks.steps.store import StepFolder
from tasks.training.code import PROJECT

SERVING_LOCK = PROJECT / "locks" / "serving-cpu.lock"


@task(name="register model", cache_policy=NO_CACHE)
def register_model(
    settings: Settings, evaluated: Evaluated, run: TrackedRun, step: StepFolder, *, is_release_wanted: bool
) -> ModelVersion:
    """Register the bundle: as challenger in Staging where all gates passed, else Archived with the reason.

    `is_release_wanted` stands with the version, so that a later run can finish what this one began. `step` is the
    whole retraining's, which is complete with this.

    Raises:
        RegistryError: MLflow failed; registering the same run again goes on from there.
    """
    source = run.log_bundle(evaluated.bundle.folder, requirements=SERVING_LOCK)
    report = evaluated.report
    wanted = {RELEASE_AGAINST_TAG: str(evaluated.judged_against)} if is_release_wanted else {}
    version = register(
        Registry(settings.tracking_uri, settings.model.name),
        run.run_id,
        source,
        digest=evaluated.bundle.digest,
        verdict=report.verdict,
        description=f"{report.verdict}: {report.reason}",
        tags={
            **wanted,
            ACCURACY_TAG: f"{evaluated.metrics.accuracy:.6f}",
            REASON_TAG: report.reason,
            GATE_DIGEST_TAG: report_digest(report),
            DATA_DIGEST_TAG: evaluated.bundle.contract.data_digest,
        },
    )
    step.complete({"version": version.version})
    shutil.rmtree(work_folder(settings, run.run_id), ignore_errors=True)  # MLflow has it all now
    get_run_logger().info("Registered version %s as %s", version.version, version.stage)
    return version
