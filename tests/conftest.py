"""What every test starts from: no setting of the caller's shell."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOREIGN = ("EVERGREEN_", "MLFLOW_", "PREFECT_")


@pytest.fixture(scope="session", autouse=True)
def _only_own_settings() -> Iterator[None]:
    """Once, before any fixture sets variables of its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(FOREIGN)]:
            patch.delenv(name)
        yield
