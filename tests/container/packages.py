"""The serving image's packages, taken from the environment that runs the tests: no network, no second download."""

import importlib.metadata
import re
import sys
from pathlib import Path

from packaging.requirements import Requirement


def collect_packages(lock: Path) -> dict[str, Path]:
    """Return the installed files of every package in a lock, by their path under site-packages.

    Raises:
        importlib.metadata.PackageNotFoundError: this environment lacks one.
    """
    requirements = [Requirement(line) for line in lock.read_text().splitlines() if line]
    files: dict[str, Path] = {}
    for requirement in requirements:
        if requirement.marker is None or requirement.marker.evaluate():
            distribution = importlib.metadata.distribution(requirement.name)
            for file in distribution.files or []:
                if not re.match(r"\.\./|.*\.pyc$", str(file)):  # scripts lie outside
                    files[str(file)] = Path(str(distribution.locate_file(file)))
    return files


def python_version() -> str:
    """Return the version that compiled packages are for, as 3.11."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
