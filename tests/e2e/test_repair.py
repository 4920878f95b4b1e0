"""The command is killed where it hurts: the champion goes on serving, and the next run brings all in order."""

import json
import os
import signal

import pytest

from tests.e2e.project import Project
from tests.e2e.test_pipeline import PHOTO, mlflow_get, mlflow_post


@pytest.fixture(scope="module", autouse=True)
def _released(project: Project) -> None:
    if project.status()["champion"] is None:
        project.evergreen("run")


@pytest.mark.parametrize("done", ["data", "train", "evaluate", "register"])
def test_a_run_killed_after_a_stage_is_repaired_by_the_next(project: Project, done: str) -> None:
    before = project.status()["champion"]
    with project.start("run", "--set", "training.epochs=1") as process:
        for line in process.stdout or ():
            if line.startswith(f"{done}:"):
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert project.predict(PHOTO).status_code == 200
    after = project.status()["champion"]
    is_released = done == "register" and after["version"] > before["version"]  # the request was written already
    assert after == before or is_released
    output = project.evergreen("run", "--set", "training.epochs=1")
    assert "1,000 of 1,000 classes as offline" in output
    assert_in_order(project)


def assert_in_order(project: Project) -> None:
    """The registry says one thing: one version in production, which serves, and no run or candidate left open."""
    champion = project.status()["champion"]
    found = mlflow_get(project, "registered-models/get", name="fashion-mnist")["registered_model"]
    aliases = {alias["alias"]: alias["version"] for alias in found["aliases"]}
    versions = mlflow_get(project, "model-versions/search", filter="name='fashion-mnist'")["model_versions"]
    stages = {version["version"]: version["current_stage"] for version in versions}
    assert [number for number, stage in stages.items() if stage == "Production"] == [str(champion["version"])]
    assert aliases["champion"] == str(champion["version"])
    assert list(stages.values()).count("Staging") == ("challenger" in aliases)
    tags = {version["version"]: {tag["key"]: tag["value"] for tag in version["tags"]} for version in versions}
    promoted = {str(entry["to_version"]) for entry in json.loads(project.evergreen("history", "--json"))}
    placed = {number for number, stage in stages.items() if stage != "None"}
    wanted = {number for number in placed if "evergreen.release_against" in tags[number]}
    assert {number for number in wanted if tags[number]["evergreen.verdict"] == "pass"} <= promoted
    assert project.predict(PHOTO).json()["digest"] == champion["digest"]
    runs = mlflow_post(project, "runs/search", experiment_ids=["1"])["runs"]
    assert "RUNNING" not in {run["info"]["status"] for run in runs}
    assert project.git_status() == ""
