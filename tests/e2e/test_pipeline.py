"""The whole pipeline on real images, step after step against one stack: the order of the tests is the story."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from tests.e2e.project import SOURCE, Project

PHOTO = next((SOURCE / "tests/assets/fashion").glob("*/*.png"))
WAIT_S = 240
IDX_LABELS = ["t-shirt-top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"]


def wait_for(check, what: str):
    """Return the first true value of `check`."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.2)
    pytest.fail(f"{what} did not happen within {WAIT_S} s")


def test_nothing_is_in_production_before_the_first_run(project: Project) -> None:
    state = project.status()
    assert state["champion"] is None
    assert {name: service["state"] for name, service in state["services"].items()} == dict.fromkeys(
        ["prefect", "mlflow", "router", "controller", "worker"], "up"
    )
    answer = project.predict(PHOTO)
    assert answer.status_code == 503
    assert "no model is in production yet" in answer.text
    assert "no previous version" in project.evergreen("rollback", expect=2)


def test_the_first_run_ends_in_production(project: Project) -> None:
    output = project.evergreen("run")
    assert "promoted: all" in output
    assert "1,000 of 1,000 classes as offline" in output
    champion = project.status()["champion"]
    assert (champion["name"], champion["version"]) == ("fashion-mnist", 1)
    assert champion["accuracy"] > 0.7
    answer = project.predict(PHOTO)
    assert answer.json()["digest"] == champion["digest"]
    assert answer.headers["x-evergreen-version"] == "1"
    assert project.git_status() == ""


def test_the_registry_shows_the_stage_and_the_evidence(project: Project) -> None:
    version = mlflow_get(project, "model-versions/get", name="fashion-mnist", version="1")["model_version"]
    assert version["current_stage"] == "Production"
    assert "champion" in version["aliases"]
    run_id = version["run_id"]
    run = mlflow_get(project, "runs/get", run_id=run_id)["run"]
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert run["info"]["status"] == "FINISHED"
    assert len(tags["evergreen.git_commit"]) == 40
    assert tags["evergreen.dvc_md5"].endswith(".dir")
    assert run["inputs"]["dataset_inputs"]
    assert {"evaluation/gates.md", "evaluation/confusion-matrix.png", "evaluation/learning-curves.png"} <= {
        file["path"] for file in mlflow_get(project, "artifacts/list", run_id=run_id, path="evaluation")["files"]
    }
    assert {"lineage/settings.json", "lineage/data.dvc.txt"} <= {
        file["path"] for file in mlflow_get(project, "artifacts/list", run_id=run_id, path="lineage")["files"]
    }


def test_the_champion_loads_from_mlflow_without_unpickling(project: Project) -> None:
    script = """
import sys, pickle
def refuse(*_args, **_kwargs):
    raise AssertionError("unpickled")
import mlflow, numpy as np, cloudpickle
pickle.load = pickle.loads = cloudpickle.load = cloudpickle.loads = refuse
model = mlflow.pyfunc.load_model("models:/fashion-mnist@champion")
print(len(model.predict(np.zeros((3, 28, 28), np.uint8))))
"""
    environment = {**project.environment, "MLFLOW_TRACKING_URI": project.mlflow_url}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "3"


def test_the_champion_is_made_again_to_the_bit(project: Project) -> None:
    evidence = project.evergreen("reproduce", "1")
    assert "identical: trained again from its records. Every bit of the weights is the same." in evidence
    version = mlflow_get(project, "model-versions/get", name="fashion-mnist", version="1")["model_version"]
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    assert tags["evergreen.reproduced"].startswith("identical, ")
    flows = httpx.post(f"{project.prefect_url}/api/flow_runs/filter", json={"sort": "START_TIME_DESC"}, trust_env=False)
    assert flows.json()[0]["state"]["type"] == "COMPLETED"
    assert project.status()["champion"]["version"] == 1
    assert project.git_status() == ""


def test_a_scheduled_run_of_the_same_inputs_trains_nothing(project: Project) -> None:
    assert "nothing new" in project.evergreen("run", "--scheduled")
    assert project.status()["champion"]["version"] == 1


def test_a_second_run_takes_the_next_seed_and_says_why_it_keeps_or_promotes(project: Project) -> None:
    output = project.evergreen("run")
    assert "reused" in output
    assert "kept the champion: " in output or "promoted: all" in output
    version = mlflow_get(project, "model-versions/get", name="fashion-mnist", version="2")["model_version"]
    seeds = [run_seed(project, found) for found in (1, 2)]
    assert seeds[1] == seeds[0] + 1
    assert version["current_stage"] in ("Archived", "Production")


def test_a_training_that_was_killed_goes_on_with_the_next_run(project: Project) -> None:
    longer = {"EVERGREEN_TRAINING__EPOCHS": "6", "EVERGREEN_TRAINING__CHECKPOINT_STEPS": "20"}
    process = project.start("run", **longer)
    wait_for(lambda: any((project.home / "steps/train").glob("*/checkpoints/*.checkpoint")), "a checkpoint")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert "resumes at step" in project.evergreen("plan", **longer)
    assert "small_cnn goes on from step" in project.evergreen("run", **longer)


def test_a_killed_training_leaves_the_champion_and_the_next_run_goes_through(project: Project) -> None:
    before = project.status()["champion"]
    process = project.start("run", EVERGREEN_TRAINING__EPOCHS="200")
    training = wait_for(lambda: training_of(process.pid), "the training's start")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not psutil.pid_exists(training.pid) or training.status() == "zombie", "the training's end")
    assert project.status()["champion"] == before
    assert project.predict(PHOTO).status_code == 200
    folder = few_more_images(project)
    assert "images as" in project.evergreen("data", "add", str(folder))
    assert "promoted: all" in project.evergreen("run")
    runs = mlflow_post(project, "runs/search", experiment_ids=["1"])["runs"]
    assert sorted(run["info"]["status"] for run in runs) == ["FINISHED"] * 4 + ["KILLED"] * 2
    assert project.git_status() == ""


def test_a_rollback_goes_back_once(project: Project) -> None:
    after = project.status()["champion"]["version"]
    project.evergreen("rollback", "--why", "a test")
    state = project.status()
    assert state["champion"]["version"] < after
    assert project.predict(PHOTO).headers["x-evergreen-version"] == str(state["champion"]["version"])
    assert "no previous version" in project.evergreen("rollback", expect=2)
    actions = [entry["action"] for entry in json.loads(project.evergreen("history", "--json"))]
    assert actions[0] == "promote"
    assert actions[-1] == "rollback"
    assert "a test" in project.evergreen("history")


def test_a_release_by_hand_brings_a_version_back(project: Project) -> None:
    versions = [entry["to_version"] for entry in json.loads(project.evergreen("history", "--json"))]
    project.evergreen("release", str(max(versions)))
    assert project.status()["champion"]["version"] == max(versions)


def test_an_unknown_version_is_refused_with_the_way_out(project: Project) -> None:
    output = project.evergreen("release", "99", expect=12)
    assert "99" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("deployment", "parameters"),
    [("prepare/data", {}), ("retrain/by-hand", {"overrides": {"training.epochs": 1}, "release": False})],
    ids=["prepare", "retrain"],
)
def test_a_worker_runs_what_the_ui_asks_for(project: Project, deployment: str, parameters: dict) -> None:
    found = prefect_get(project, f"deployments/name/{deployment}")
    url = f"{project.prefect_url}/api/deployments/{found['id']}/create_flow_run"
    run = httpx.post(url, json={"parameters": parameters}, trust_env=False).raise_for_status().json()

    def state() -> str:
        return str(prefect_get(project, f"flow_runs/{run['id']}")["state"]["type"])

    wait_for(lambda: state() in ("COMPLETED", "FAILED", "CRASHED"), "the flow's end")
    assert state() == "COMPLETED"


def test_wrong_parameters_are_refused_before_anything_runs(project: Project) -> None:
    found = prefect_get(project, "deployments/name/release/version")
    url = f"{project.prefect_url}/api/deployments/{found['id']}/create_flow_run"
    refused = httpx.post(url, json={"parameters": {"version": "the best"}}, trust_env=False)
    assert refused.status_code == 409
    assert "'the best' is not of type 'integer'" in refused.text


def test_the_deployments_are_described_and_one_runs_daily(project: Project) -> None:
    daily = prefect_get(project, "deployments/name/retrain/daily")
    assert [schedule["schedule"]["cron"] for schedule in daily["schedules"]] == ["0 3 * * *"]
    for name in ("retrain/daily", "retrain/by-hand", "release/version", "rollback/previous", "reproduce/version"):
        properties = prefect_get(project, f"deployments/name/{name}")["parameter_openapi_schema"]["properties"]
        assert properties
        assert all(parameter.get("description") for parameter in properties.values()), name


def test_the_controller_comes_back_with_what_it_had(project: Project) -> None:
    before = project.status()
    record = json.loads((project.home / "services/controller.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    assert project.predict(PHOTO).status_code == 200
    project.evergreen("up")
    after = project.status()
    assert after["champion"] == before["champion"]
    assert [server["id"] for server in after["instances"]] == [server["id"] for server in before["instances"]]


def test_down_and_up_bring_the_champion_back(project: Project) -> None:
    before = project.status()["champion"]
    assert "model servers: 0 stopped" not in project.evergreen("down")
    project.evergreen("up", "--worker")
    assert project.predict(PHOTO).json()["digest"] == before["digest"]
    assert project.status()["champion"] == before


def test_a_taken_port_names_who_has_it(project: Project) -> None:
    variables = {"EVERGREEN_HOME": str(project.home.parent / "other-home")}
    output = project.evergreen("up", expect=14, **variables)
    port = project.variables["EVERGREEN_STACK__PREFECT_PORT"]
    assert f"port {port} for prefect is taken by" in output
    assert "EVERGREEN_STACK__PREFECT_PORT" in output


def mlflow_get(project: Project, call: str, /, **params: str) -> dict:
    answer = httpx.get(f"{project.mlflow_url}/api/2.0/mlflow/{call}", params=params, trust_env=False)
    return answer.raise_for_status().json()


def mlflow_post(project: Project, path: str, **body: object) -> dict:
    answer = httpx.post(f"{project.mlflow_url}/api/2.0/mlflow/{path}", json=body, trust_env=False)
    return answer.raise_for_status().json()


def prefect_get(project: Project, path: str) -> dict:
    return httpx.get(f"{project.prefect_url}/api/{path}", trust_env=False).raise_for_status().json()


def run_seed(project: Project, version: int) -> int:
    found = mlflow_get(project, "model-versions/get", name="fashion-mnist", version=str(version))["model_version"]
    tags = mlflow_get(project, "runs/get", run_id=found["run_id"])["run"]["data"]["tags"]
    return int(next(tag["value"] for tag in tags if tag["key"] == "evergreen.seed"))


def training_of(pid: int) -> psutil.Process | None:
    """Return the training process of an `evergreen run` once it trains."""
    for child in psutil.Process(pid).children(recursive=True):
        if "tasks.training" in child.cmdline():
            return child
    return None


def few_more_images(project: Project) -> Path:
    """Return a folder of new labelled photos: the real ones of tests/assets, upside down, so that none is known."""
    folder = project.root.parent / "more"
    for path in (SOURCE / "tests/assets/fashion").glob("*/*.png"):
        target = folder / str(IDX_LABELS.index(path.parent.name)) / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(target)
    return folder
