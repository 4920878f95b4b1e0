"""What people see: the pages of Prefect and MLflow in a real browser, after a run of the pipeline."""

import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.e2e.project import Project

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LOAD_MS = 20_000  # of the page's own clock, which runs ahead while it waits

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: these tests look at pages in a browser")


@pytest.fixture(scope="module")
def released(project: Project) -> Project:
    """The project, with a model in production."""
    if project.status()["champion"] is None:
        project.evergreen("run")
    return project


def text_of(url: str, profile: Path) -> str:
    """Return a page's document once its scripts have run."""
    quiet = "--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", *quiet.split()]
    options = [f"--user-data-dir={profile}", f"--virtual-time-budget={LOAD_MS}", "--window-size=1600,2400"]
    done = subprocess.run(
        [*command, *options, "--dump-dom", url], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def test_mlflow_shows_the_registered_model_with_its_champion(released: Project, tmp_path: Path) -> None:
    page = text_of(f"{released.mlflow_url}/#/models/fashion-mnist", tmp_path)
    assert "fashion-mnist" in page
    assert "champion" in page


def test_mlflow_shows_the_version_in_production(released: Project, tmp_path: Path) -> None:
    version = released.status()["champion"]["version"]
    page = text_of(f"{released.mlflow_url}/#/models/fashion-mnist/versions/{version}", tmp_path)
    assert "Production" in page
    assert "evergreen.verdict" in page


def test_prefect_shows_the_run(released: Project, tmp_path: Path) -> None:
    wanted = {"flows": {"name": {"any_": ["retrain"]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    runs = httpx.post(f"{released.prefect_url}/api/flow_runs/filter", json=wanted, trust_env=False).json()
    page = text_of(f"{released.prefect_url}/runs/flow-run/{runs[0]['id']}", tmp_path)
    assert "Completed" in page
    assert "gates passed" in page or "not shown to be better" in page


def test_prefect_shows_the_table_of_gates(released: Project, tmp_path: Path) -> None:
    wanted = {"artifacts": {"key": {"any_": ["gates"]}}, "sort": "CREATED_DESC", "limit": 1}
    found = httpx.post(f"{released.prefect_url}/api/artifacts/filter", json=wanted, trust_env=False).json()
    page = text_of(f"{released.prefect_url}/artifacts/artifact/{found[0]['id']}", tmp_path)
    assert "Bounds are one-sided" in page
    assert "recall of each class" in page
