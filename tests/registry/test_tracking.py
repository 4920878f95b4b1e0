"""Runs, read back with MLflow's own client."""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from mlflow.artifacts import load_text
from mlflow.store.tracking import sqlalchemy_store

from tasks.data.dataset import Dataset, DatasetVersion
from tasks.errors import RegistryError
from tasks.registry.git import WorkingTree
from tasks.registry.lineage import Lineage
from tasks.registry.tracking import HOST_TAG, PID_TAG, STARTED_TAG


def test_a_run_has_its_name_parent_tags_and_process(tracking, experiment, client):
    parent = tracking.start_run(experiment, "retrain")
    child = tracking.start_run(experiment, "train", {"evergreen.step": "train"}, parent=parent.run_id)
    run = client.get_run(child.run_id)
    assert (run.info.run_name, run.info.status) == ("train", "RUNNING")
    assert run.data.tags["mlflow.parentRunId"] == parent.run_id
    assert run.data.tags["evergreen.step"] == "train"
    assert run.data.tags[PID_TAG] == str(os.getpid())


def test_an_experiment_is_made_once(tracking, client, experiment):
    name = f"{experiment}-new"
    first, second = tracking.start_run(name, "a"), tracking.start_run(name, "b")
    made = client.get_experiment_by_name(name).experiment_id
    assert {client.get_run(run.run_id).info.experiment_id for run in (first, second)} == {made}


def test_an_experiment_that_another_process_makes_meanwhile(tracking, client, experiment, monkeypatch):
    looks = []

    def look(name):
        looks.append(name)
        return None if len(looks) == 1 else client.get_experiment_by_name(name)

    monkeypatch.setattr(tracking.client, "get_experiment_by_name", look)
    run = tracking.start_run(experiment, "late")
    assert client.get_run(run.run_id).info.experiment_id == client.get_experiment_by_name(experiment).experiment_id
    assert len(looks) == 2


@pytest.mark.parametrize(
    ("error", "status", "note"),
    [
        (ValueError("no data"), "FAILED", "ValueError: no data"),
        (KeyboardInterrupt(), "KILLED", "KeyboardInterrupt"),
        (SystemExit(1), "KILLED", "SystemExit"),
    ],
    ids=["an exception", "an interrupt", "an exit"],
)
def test_a_run_that_ends_badly_says_how(tracking, experiment, error, status, note):
    run = tracking.start_run(experiment, "train")
    with pytest.raises(type(error)), run:
        raise error
    found = tracking.client.get_run(run.run_id)
    assert (found.info.status, found.data.tags.get("mlflow.note.content")) == (status, note)


def test_a_run_that_ends_well_is_finished(tracking, experiment, client):
    with tracking.start_run(experiment, "train") as run:
        assert client.get_run(run.run_id).info.status == "RUNNING"
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.end_time is not None


def test_training_events_arrive_in_one_request_for_each_thousand(tracking, experiment, client, monkeypatch):
    events = [
        {"step": step, "time": 1000.5 + step, "loss": 1 / (step + 1), "accuracy": 0.5, "phase": "train", "best": True}
        for step in range(600)
    ]
    run = tracking.start_run(experiment, "train")
    sizes = []
    original = run.client.log_batch

    def count(run_id, **batch):
        sizes.append(len(batch["metrics"]))
        original(run_id, **batch)

    monkeypatch.setattr(run.client, "log_batch", count)
    run.log_training(events)
    assert sizes == [1000, 200]
    history = client.get_metric_history(run.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(event["step"], event["loss"]) for event in events]
    assert history[0].timestamp == 1000500
    assert set(client.get_run(run.run_id).data.metrics) == {"loss", "accuracy"}


@pytest.mark.parametrize("event", [{"loss": 1.0}, {"step": "1", "loss": 1.0}, {"step": 1, "time": "now"}])
def test_an_event_without_a_step_is_refused(tracking, experiment, event):
    with pytest.raises(TypeError, match="needs an integer 'step'"):
        tracking.start_run(experiment, "train").log_training([event])


def test_parameters_tags_and_texts(tracking, experiment, client, tmp_path):
    run = tracking.start_run(experiment, "train")
    run.log_params({f"p{number}": number for number in range(150)})
    run.set_tags({f"t{number}": "x" for number in range(150)})
    run.log_metrics({"test_accuracy": 0.91})
    run.log_texts({"gates.md": "| gate |\n"}, "gates")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "curve.png").write_bytes(b"png")
    run.log_artifacts(tmp_path / "pictures", "pictures")
    found = client.get_run(run.run_id)
    assert len(found.data.params) == 150
    assert found.data.params["p149"] == "149"
    assert found.data.tags["t149"] == "x"
    assert found.data.metrics == {"test_accuracy": 0.91}
    assert load_text(f"{found.info.artifact_uri}/gates/gates.md") == "| gate |\n"
    assert [file.path for file in client.list_artifacts(run.run_id, "pictures")] == ["pictures/curve.png"]


def test_what_mlflow_refuses_is_said(tracking, experiment):
    run = tracking.start_run(experiment, "train")
    run.log_params({"seed": 1})
    with pytest.raises(RegistryError, match=f"logging 1 parameters of run {run.run_id}.*seed"):
        run.log_params({"seed": 2})


def dataset_version(folder: Path, digest: str) -> DatasetVersion:
    dataset = Dataset(folder, digest, ("a", "b"), {"train": (5, 3), "test": (2, 1)}, (), {"size": 1})
    return DatasetVersion(dataset, "md5.dir", "outs:\n- md5: md5.dir\n", "s3://bucket/dvc")


def test_two_runs_that_log_a_new_dataset_at_once(tracking, experiment, client, tmp_path, monkeypatch):
    version = dataset_version(tmp_path, "fedcba9876543210" * 4)
    first, second = (tracking.start_run(experiment, name) for name in ("first", "second"))
    new_id, calls = sqlalchemy_store.uuid.uuid4, []

    def second_goes_between():  # the first has looked for the dataset's row, and is about to insert it
        calls.append(new_id())
        if len(calls) == 1:
            second.log_dataset("images", version)
        return calls[-1]

    monkeypatch.setattr(sqlalchemy_store, "uuid", SimpleNamespace(uuid4=second_goes_between))
    first.log_dataset("images", version)
    logged = [client.get_run(run.run_id).inputs.dataset_inputs for run in (first, second)]
    assert [[one.dataset.digest for one in each] for each in logged] == [[version.dataset.digest[:36]]] * 2
    assert len(calls) > 2


def test_a_dataset_is_described_and_not_read(tracking, experiment, client, tmp_path):
    version = dataset_version(tmp_path, "0123456789abcdef" * 4)
    dataset = version.dataset
    run = tracking.start_run(experiment, "prepare")
    run.log_dataset("images", version)
    found = client.get_run(run.run_id)
    (given,) = found.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.source_type) == ("images", "dvc")
    assert dataset.digest.startswith(given.dataset.digest)
    assert len(given.dataset.digest) == 36
    assert json.loads(given.dataset.source) == {
        "address": "s3://bucket/dvc",
        "md5": "md5.dir",
        "digest": dataset.digest,
    }
    assert json.loads(given.dataset.profile) == {
        "images": 11,
        "counts": {"train": {"a": 5, "b": 3}, "test": {"a": 2, "b": 1}},
        "quarantined": {"size": 1},
    }
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "training")]
    assert found.data.tags["evergreen.data_digest"] == dataset.digest
    assert "md5.dir" in load_text(f"{found.info.artifact_uri}/lineage/data.dvc.txt")


def test_lineage_is_tags_and_files(tracking, experiment, client, tmp_path):
    lineage = Lineage(
        commit="c0ffee",
        tree=WorkingTree(b"+caf\xe9\r\n"),
        lock_name="cpu.lock",
        lock=b"torch==2.13.0\n",
        settings_json='{"seed": 1}',
        spec_json="{}",
        inputs={"seed": "1"},
        data_remote="s3://bucket/dvc",
        hardware={"device": "cpu"},
        versions={"torch": "2.13.0"},
    )
    run = tracking.start_run(experiment, "train")
    run.log_lineage(lineage)
    found = client.get_run(run.run_id)
    assert found.data.tags["evergreen.git_commit"] == "c0ffee"
    assert found.data.tags["evergreen.git_dirty"] == "true"
    assert found.data.tags["evergreen.version.torch"] == "2.13.0"
    folder = Path(client.download_artifacts(run.run_id, "lineage", str(tmp_path)))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == lineage.files
    assert (folder / "working-tree.patch").read_bytes() == b"+caf\xe9\r\n"
    sums = (folder / "SHA256SUMS").read_bytes()
    assert found.data.tags["evergreen.lineage_sha256"] == hashlib.sha256(sums).hexdigest()


def test_runs_of_a_killed_process_are_closed_and_others_are_not(tracking, experiment, client):
    child = subprocess.Popen(["sleep", "600"])
    started = psutil.Process(child.pid).create_time()
    of_child = {PID_TAG: str(child.pid), STARTED_TAG: repr(started)}
    ours = tracking.start_run(experiment, "ours")
    stale = tracking.start_run(experiment, "stale")
    stale.set_tags(of_child)
    elsewhere = tracking.start_run(experiment, "elsewhere")
    elsewhere.set_tags({**of_child, HOST_TAG: "another-host"})
    closed = tracking.start_run(experiment, "closed")
    closed.set_tags(of_child)
    closed.finish("FINISHED")
    assert tracking.close_stale_runs(experiment) == ()
    child.kill()
    child.wait()
    assert tracking.close_stale_runs(experiment) == (stale.run_id,)
    found = client.get_run(stale.run_id)
    assert found.info.status == "KILLED"
    assert f"process {child.pid}" in found.data.tags["mlflow.note.content"]
    statuses = [client.get_run(run.run_id).info.status for run in (ours, elsewhere, closed)]
    assert statuses == ["RUNNING", "RUNNING", "FINISHED"]


def test_no_experiment_has_no_stale_runs(tracking):
    assert tracking.close_stale_runs("never made") == ()


def test_a_run_whose_process_id_is_used_again_is_closed(tracking, experiment):
    run = tracking.start_run(experiment, "of a process that had our id")
    run.set_tags({STARTED_TAG: repr(psutil.Process().create_time() - 60)})
    assert tracking.close_stale_runs(experiment) == (run.run_id,)
