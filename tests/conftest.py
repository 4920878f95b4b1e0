"""What every test starts from, no setting of the caller's shell; and one MLflow database for all that need one."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mlflow import MlflowClient

ROOT = Path(__file__).parents[1]
FOREIGN = ("EVERGREEN_", "MLFLOW_", "PREFECT_")


@pytest.fixture(scope="session", autouse=True)
def _only_own_settings() -> Iterator[None]:
    """Once, before any fixture sets variables of its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(FOREIGN)]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow database, the same for all tests."""
    from tests.mlflow_database import open_database  # noqa: PLC0415  # imports MLflow

    with open_database(tmp_path_factory.mktemp("mlflow")) as uri:
        yield uri


@pytest.fixture
def client(tracking_uri: str) -> "MlflowClient":
    """A client of that database."""
    from mlflow import MlflowClient  # noqa: PLC0415

    return MlflowClient(tracking_uri, registry_uri=tracking_uri)
