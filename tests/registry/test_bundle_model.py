"""A bundle in MLflow: logged, registered, fetched back, and loaded by MLflow itself."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import mlflow.artifacts
import mlflow.pyfunc
import numpy as np
import pytest

from serving.bundle.contract import CONTRACT, bundle_digest, read_contract, verify_files
from serving.load_model import load_model
from tasks.errors import RegistryError
from tasks.registry.bundle_cache import download
from tasks.registry.bundle_model import log_bundle
from tasks.registry.record import UnusableBundleError
from tasks.registry.registration import register
from tests.bundles import make_images, make_tiny_bundle


@pytest.fixture
def registered(registry, logged, digest):
    run_id, source = logged
    return register(registry, run_id, source, digest=digest, verdict="pass", tags={})


@pytest.fixture
def plain_mlflow(tracking_uri):
    """MLflow as a user has it: by its process-wide address, which is put back."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracking_uri)
    yield mlflow
    mlflow.set_tracking_uri(before)


def test_the_logged_model_holds_code_and_bundle_and_no_pickle(logged, plain_mlflow, digest, tmp_path):
    folder = Path(plain_mlflow.artifacts.download_artifacts(logged[1], dst_path=tmp_path / "model"))
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert bundle_digest(folder / "artifacts" / "bundle") == digest
    assert {"MLmodel", "pyfunc_model.py", "requirements.txt", "code/serving/model.py"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pyc"))]
    assert "torch" in (folder / "requirements.txt").read_text().split()


def test_logging_makes_no_noise(tracking, experiment, bundle, requirements, capfd):
    run = tracking.start_run(experiment, "quiet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("default", module="sqlalchemy")
        run.log_bundle(bundle, requirements=requirements)
    assert capfd.readouterr() == ("", "")


def test_a_run_shows_its_model_and_logs_it_only_once(logged, client, bundle, requirements):
    run_id, source = logged
    assert log_bundle(client, run_id, bundle, requirements=requirements) == source
    outputs = client.get_run(run_id).outputs.model_outputs
    assert [f"models:/{output.model_id}" for output in outputs] == [source]


def test_an_upload_cut_short_is_not_taken_for_a_model(tracking, experiment, bundle, requirements, monkeypatch):
    run, client = tracking.start_run(experiment, "killed"), tracking.client

    def fail(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(run.client, "log_model_artifacts", fail)
    with pytest.raises(KeyboardInterrupt):
        run.log_bundle(bundle, requirements=requirements)
    monkeypatch.undo()
    source = run.log_bundle(bundle, requirements=requirements)
    experiment_id = client.get_experiment_by_name(experiment).experiment_id
    statuses = {model.model_uri: model.status.name for model in client.search_logged_models([experiment_id])}
    assert len(statuses) == 2
    assert statuses[source] == "READY"


LOAD = """
import sys, json
import numpy as np, mlflow, pandas, torch
import cloudpickle

def refuse(event, arguments):
    if event == "pickle.find_class":
        raise AssertionError(f"unpickled {arguments}")

images = np.load(sys.argv[3])
mlflow.set_tracking_uri(sys.argv[1])
sys.addaudithook(refuse)
model = mlflow.pyfunc.load_model(sys.argv[2])
table = model.predict(images)
import serving.load_model
print(json.dumps({"columns": list(table.columns), "rows": table.values.tolist(), "code": serving.model.__file__}))
"""


def test_mlflow_alone_loads_the_champion_and_unpickles_nothing(registry, registered, tracking_uri, bundle, tmp_path):
    """In a process that has none of this repository's code, in another folder."""
    registry.set_alias("champion", registered.version)
    images = np.stack(make_images(3, seed=5))
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, tracking_uri, f"models:/{registry.model}@champion", str(tmp_path / "images.npy")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "", "MLFLOW_DISABLE_TELEMETRY": "true"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    served = load_model(bundle, threads=1)
    expected = served.predict(list(images)).probabilities
    classes = served.contract.classes
    assert answer["columns"] == ["label", "probability", *(f"probability_{name}" for name in classes)]
    assert [row[0] for row in answer["rows"]] == [classes[winner] for winner in expected.argmax(axis=1)]
    np.testing.assert_allclose([row[1] for row in answer["rows"]], expected.max(axis=1), atol=1e-6)
    np.testing.assert_allclose([row[2:] for row in answer["rows"]], expected, atol=1e-6)
    assert not Path(answer["code"]).is_relative_to(Path.cwd())


@pytest.mark.parametrize(
    "images",
    [
        np.stack(make_images(2, seed=1)),
        np.stack(make_images(2, seed=1, channels=3)),
        [*make_images(1, seed=1, size_px=20), *make_images(1, seed=2, size_px=44, channels=3)],
    ],
    ids=["grey batch", "colour batch", "list of two sizes"],
)
def test_it_takes_what_people_have(logged, plain_mlflow, bundle, images):
    table = plain_mlflow.pyfunc.load_model(logged[1]).predict(images)
    expected = load_model(bundle, threads=1).predict(list(images)).probabilities
    np.testing.assert_allclose(table.filter(like="probability_").to_numpy(), expected, atol=1e-6)


def test_a_bundle_comes_back_whole_once(registry, registered, digest, tmp_path, monkeypatch):
    folder = registry.download_bundle(registered.version, tmp_path / "cache")
    assert folder == tmp_path / "cache" / digest
    verify_files(folder, read_contract(folder), served_only=False)
    assert bundle_digest(folder) == digest
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", lambda **_: pytest.fail("it is in the cache"))
    assert registry.download_bundle(registered.version, tmp_path / "cache") == folder
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [digest]


@pytest.mark.parametrize("damage", ["truncate", "remove", "contract"])
def test_a_damaged_cache_is_fetched_again(registry, registered, digest, tmp_path, damage):
    folder = registry.download_bundle(registered.version, tmp_path)
    module = folder / "model.pt"
    if damage == "truncate":
        module.write_bytes(module.read_bytes()[:100])
    elif damage == "remove":
        module.unlink()
    else:
        (folder / CONTRACT).write_text("{}")
    assert registry.download_bundle(registered.version, tmp_path) == folder
    verify_files(folder, read_contract(folder), served_only=False)
    assert bundle_digest(folder) == digest


def stored_bundle(version):
    return Path(version.source.removeprefix("file://")) / "artifacts" / "bundle"


def test_another_bundle_in_its_place_is_refused_with_both_digests(registry, registered, digest, tmp_path):
    other = make_tiny_bundle(tmp_path / "other", seed=2)
    shutil.rmtree(stored_bundle(registered))
    shutil.copytree(other, stored_bundle(registered))
    with pytest.raises(UnusableBundleError) as caught:
        registry.download_bundle(registered.version, tmp_path / "cache")
    assert digest in str(caught.value)
    assert bundle_digest(other) in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("file", ["model.pt", CONTRACT])
def test_a_bundle_that_lost_a_file_is_refused(registry, registered, tmp_path, file):
    (stored_bundle(registered) / file).unlink()
    with pytest.raises(UnusableBundleError, match="is damaged"):
        registry.download_bundle(registered.version, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_bundle_that_is_gone_is_an_answer(registry, registered, tmp_path):
    shutil.rmtree(stored_bundle(registered))
    with pytest.raises(UnusableBundleError, match=r"has no bundle at .* any more"):
        registry.download_bundle(registered.version, tmp_path / "cache")


def test_an_outage_while_fetching_says_nothing_about_the_bundle(registry, registered, tmp_path, monkeypatch):
    def away(**_):
        raise ConnectionError("connection refused")

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", away)
    with pytest.raises(RegistryError, match="connection refused") as caught:
        registry.download_bundle(registered.version, tmp_path / "cache")
    assert not isinstance(caught.value, UnusableBundleError)


@pytest.mark.parametrize("place", ["outside", "../outside", "."], ids=["absolute", "upwards", "the cache itself"])
def test_a_digest_that_names_another_folder_deletes_nothing(registry, registered, tmp_path, place):
    cache, outside = tmp_path / "cache", tmp_path / "outside"
    for folder in (cache, outside):
        folder.mkdir()
        (folder / "kept").touch()
    digest = str(outside) if place == "outside" else place
    with pytest.raises(UnusableBundleError, match=f"'{digest}' is no bundle digest"):
        download(dataclasses.replace(registered, digest=digest), cache, registry.address)
    assert [(folder / "kept").exists() for folder in (cache, outside)] == [True, True]


def test_a_version_made_by_hand_has_no_bundle(registry, client, tmp_path):
    client.create_registered_model(registry.model)
    client.create_model_version(registry.model, "file:///nowhere", await_creation_for=0)
    with pytest.raises(UnusableBundleError, match=r"version 1 .* was not registered by Evergreen"):
        registry.download_bundle(1, tmp_path)
