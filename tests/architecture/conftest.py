"""The import graph of all our packages, built once."""

import grimp
import pytest

PACKAGES = ("flows", "tasks", "serving")


@pytest.fixture(scope="session")
def graph() -> grimp.ImportGraph:
    """Every import between our modules, and of packages that are not ours."""
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)
