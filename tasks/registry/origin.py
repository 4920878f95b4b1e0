"""Where a registered version came from, as MLflow keeps it: its tags, its run, the run's lineage, and the bundle."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow.artifacts import download_artifacts, list_artifacts
from mlflow.entities import Run

from serving.bundle.contract import read_contract
from tasks.evaluation.bundle import Bundle
from tasks.registry import bundle_cache
from tasks.registry.client import reaching
from tasks.registry.lineage import FOLDER
from tasks.registry.record import ModelVersion, UnusableBundleError
from tasks.registry.registry import Registry

PREDICTIONS = "evaluation/predictions.parquet"


@dataclass(frozen=True)
class Origin:
    """What MLflow says of a version; `files` are those below `lineage/`, by name.

    `dataset` is what the run was logged to have used: DVC's md5 and the digest. `bundle` is None where the registered
    one is damaged or gone, and `bundle_problem` says so. `predictions` is the file of the test set's answers, None
    where the run keeps none.
    """

    version: ModelVersion
    tags: Mapping[str, str]
    params: Mapping[str, str]
    dataset: Mapping[str, str]
    files: Mapping[str, bytes]
    bundle: Bundle | None
    bundle_problem: str
    predictions: Path | None


def read_origin(registry: Registry, number: int, folder: Path) -> Origin:
    """Download what is recorded of a version into `folder` and return it.

    The bundle comes from MLflow and from no cache: it is what callers of this version would get.

    Raises:
        NotRegisteredError: there is no such version.
        RegistryError: MLflow cannot be reached.
    """
    version = registry.version(number)
    with reaching(registry.address, f"reading the run of version {number} of {registry.model}"):
        run = registry.client.get_run(version.run_id)
        lineage = _download(registry, version.run_id, FOLDER, folder)
        predictions = _download(registry, version.run_id, PREDICTIONS, folder)
    bundle, problem = _fetch_bundle(registry, version, folder / "bundles")
    return Origin(
        version=version,
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        dataset=_dataset_of(run),
        files={path.name: path.read_bytes() for path in lineage.iterdir()} if lineage else {},
        bundle=bundle,
        bundle_problem=problem,
        predictions=predictions,
    )


def _download(registry: Registry, run_id: str, path: str, folder: Path) -> Path | None:
    """Return where an artifact of a run was put below `folder`, None where the run has no such artifact."""
    parent = path.rpartition("/")[0]
    known = list_artifacts(run_id=run_id, artifact_path=parent or None, tracking_uri=registry.address)
    if path not in {artifact.path for artifact in known}:
        return None
    target = str(folder / "artifacts")
    Path(target).mkdir(parents=True, exist_ok=True)
    return Path(download_artifacts(run_id=run_id, artifact_path=path, dst_path=target, tracking_uri=registry.address))


def _fetch_bundle(registry: Registry, version: ModelVersion, cache: Path) -> tuple[Bundle | None, str]:
    try:
        folder = bundle_cache.download(version, cache, registry.address)
    except UnusableBundleError as error:
        return None, str(error)
    return Bundle(folder, read_contract(folder), version.digest), ""


def _dataset_of(run: Run) -> dict[str, str]:
    """Return the source of the dataset that was logged as the run's input; empty where none was."""
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return dict(json.loads(inputs[0].dataset.source)) if inputs else {}
