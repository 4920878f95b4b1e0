"""Run in a small clone: trains and registers versions with the pipeline's own parts, without Prefect and the router.

Both versions are of uncommitted code; the second of another environment, as far as its records say.
"""

import dataclasses
import shutil
import sys
from pathlib import Path

from mlflow import MlflowClient

from tasks.data.pixels import build_pixels
from tasks.data.prepare_dataset import prepare_dataset
from tasks.data.versioning import version_dataset
from tasks.evaluate import BUNDLE, make_evaluation
from tasks.evaluation.scores import PREDICTIONS
from tasks.plan import key_of_evaluation, plan_retraining
from tasks.prepare import Prepared
from tasks.register import SERVING_LOCK
from tasks.registry.record import DATA_DIGEST_TAG
from tasks.registry.registration import register
from tasks.registry.registry import Registry
from tasks.retraining import open_retraining
from tasks.settings import Settings, load_settings
from tasks.train import log_origin
from tasks.training.machine import Machine, probe_machine
from tasks.training.run import train
from tests.mlflow_database import without_durability

ROOT = Path(__file__).parents[2]


def prepare(settings: Settings) -> Prepared:
    dataset = prepare_dataset(settings.data, root=settings.root, home=settings.home)
    version = version_dataset(dataset, root=settings.root, remote=settings.data.remote, home=settings.home)
    model = settings.model
    pixels = build_pixels(dataset, channels=model.channels, size_px=model.size_px, cache=settings.home / "cache")
    return Prepared(version, pixels, "", "")


def make_version(settings: Settings, prepared: Prepared, machine: Machine, trained_before: Path | None) -> Path:
    plan = plan_retraining(settings, prepared.pixels, machine=machine, finished_seeds=lambda _: (), is_scheduled=True)
    with open_retraining(settings, plan) as opened:
        (training,) = opened.trainings
        log_origin(settings, prepared, plan, training)
        folder = trained_before or training.folder.path
        trained = train(training.plan.spec, folder, lambda _: None)
        training.run.set_tags({"evergreen.weights_sha256": trained.weights_sha256})
        step = opened.hold(key_of_evaluation(settings, prepared.pixels, plan, trained.weights_sha256))
        bundle, _ = make_evaluation(settings, prepared.pixels, trained, step)
        evidence = settings.home / "runs" / training.run.run_id
        evidence.mkdir(parents=True)
        shutil.copy(step.path / PREDICTIONS, evidence)
        training.run.log_artifacts(evidence, "evaluation")
        register(
            Registry(settings.tracking_uri, settings.model.name),
            training.run.run_id,
            training.run.log_bundle(step.path / BUNDLE, requirements=SERVING_LOCK),
            digest=bundle.digest,
            verdict="pass",
            tags={DATA_DIGEST_TAG: prepared.pixels.digest},
        )
    return folder


def edit_code() -> None:
    """Change what decides the weights, and add files that git does not know, one of them binary."""
    path = ROOT / "tasks" / "training" / "draws.py"
    text = path.read_text()
    assert text.count("MIX_1 = -4658895280553007687") == 1
    path.write_text(text.replace("MIX_1 = -4658895280553007687", "from tasks.training.secret import MIX_1"))
    (ROOT / "tasks" / "training" / "secret.py").write_text('"""Of nobody else."""\n\nMIX_1 = -4658895280553007681\n')
    (ROOT / "tasks" / "training" / "noise.bin").write_bytes(bytes(range(256)) * 4)
    (ROOT / "CONTRIBUTING.md").unlink()


def main(artifacts: str) -> None:
    settings = load_settings()
    MlflowClient(settings.tracking_uri).create_experiment(settings.model.name, artifact_location=artifacts)
    edit_code()
    prepared = prepare(settings)
    machine = probe_machine(device=settings.training.device, threads=settings.training.threads)
    trained = make_version(settings, prepared, machine, None)
    elsewhere = dataclasses.replace(machine, versions={**machine.versions, "torch": "1.0.0", "cudnn": "7"})
    make_version(settings, prepared, elsewhere, trained)


if __name__ == "__main__":
    with without_durability():
        main(sys.argv[1])
