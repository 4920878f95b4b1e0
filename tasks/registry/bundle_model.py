"""Logging a bundle to an MLflow run as a logged model that `mlflow.pyfunc` loads without unpickling anything.

Written with the client alone: MLflow's own `log_model` acts on a process-wide address and active run, asks once for
each metric of the run, and without a list of requirements starts a process that guesses them.
"""

import shutil
import tempfile
import warnings
from pathlib import Path

import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model
from mlflow.models.signature import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

import serving
from serving.bundle.contract import Contract, bundle_digest, read_contract
from tasks.registry.client import reaching
from tasks.registry.record import DIGEST_TAG

BUNDLE = "bundle"
_CODE = Path(__file__).with_name("pyfunc_model.py")


def log_bundle(client: MlflowClient, run_id: str, folder: Path, *, requirements: Path, name: str = "model") -> str:
    """Log the bundle in `folder` to a run and return the logged model's address, "models:/m-...".

    `requirements` is the serving lock, one `name==version` a line. A bundle that the run has logged already is not
    logged again: a run killed later goes on from there.

    Raises:
        RegistryError: MLflow cannot be reached or refuses.
        BundleError: `folder` is no bundle.
    """
    contract, digest = read_contract(folder), bundle_digest(folder)
    with reaching(client.tracking_uri, f"logging the bundle {folder} to run {run_id}"):
        experiment = client.get_run(run_id).info.experiment_id
        logged = find_logged(client, experiment, run_id, digest)
        if logged is not None:
            return logged
        model = client.create_logged_model(experiment, name, run_id, tags={DIGEST_TAG: digest}, model_type="classifier")
        with tempfile.TemporaryDirectory() as draft:
            saved = save(model, folder, contract, requirements=requirements, draft=Path(draft))
            client.log_model_artifacts(model.model_id, str(saved))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_uri)


def find_logged(client: MlflowClient, experiment: str, run_id: str, digest: str) -> str | None:
    """Return the address of the complete logged model that the run made of this bundle, or None."""
    found = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    for model in found:
        if model.tags.get(DIGEST_TAG) == digest and model.status == LoggedModelStatus.READY:
            return str(model.model_uri)
    return None


def save(model: LoggedModel, folder: Path, contract: Contract, *, requirements: Path, draft: Path) -> Path:
    """Write the files of a logged model below `draft` and return their folder."""
    bundle, code, target = draft / BUNDLE, draft / "serving", draft / "model"
    shutil.copytree(folder, bundle)  # MLflow names the artifact after its folder
    shutil.copytree(Path(serving.__file__).parent, code, ignore=shutil.ignore_patterns("__pycache__"))
    with warnings.catch_warnings():
        # An example would be sent through the model and checked against a signature that has no inputs.
        warnings.filterwarnings("ignore", message=".*An input example was not provided", category=UserWarning)
        mlflow.pyfunc.save_model(
            target,
            mlflow_model=Model(
                artifact_path=model.artifact_location, run_id=model.source_run_id, model_id=model.model_id
            ),
            python_model=str(_CODE),
            artifacts={BUNDLE: str(bundle)},
            code_paths=[str(code)],
            pip_requirements=str(requirements),
            signature=describe_answers(contract),
        )
    return target


def describe_answers(contract: Contract) -> ModelSignature:
    """Return the signature: the columns that `predict` answers with.

    It names no inputs, for a tensor of MLflow's has one rank and images come as (N, H, W), (N, H, W, 3) or a list.
    """
    probabilities = ["probability", *(f"probability_{label}" for label in contract.classes)]
    columns: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, "label")]
    columns += [ColSpec(DataType.float, column) for column in probabilities]
    return ModelSignature(outputs=Schema(columns))
