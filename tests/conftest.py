"""What every test starts from: no setting of the caller's shell."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOREIGN = ("EVERGREEN_", "MLFLOW_", "PREFECT_")


@pytest.fixture(autouse=True)
def _only_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)
