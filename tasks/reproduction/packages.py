"""What a dependency lock says, and what is installed here."""

import importlib.metadata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement

MISSING = "not installed"


@dataclass(frozen=True)
class Package:
    """A package of a lock that is for this platform: its version there and here, the latter "not installed" if so."""

    name: str
    locked: str
    installed: str
    is_as_locked: bool


def compare_packages(lock: str, version_of: Callable[[str], str | None] | None = None) -> tuple[Package, ...]:
    """Return every package of a lock's text that is for this platform, compared with what is installed here.

    A build's own suffix counts as little as for pip: 2.13.0+cpu is 2.13.0. `version_of` answers for the installed
    packages; by default those of this interpreter.
    """
    version_of = version_of or installed_version
    return tuple(compare_package(requirement, version_of) for requirement in read_lock(lock))


def read_lock(text: str) -> Iterator[Requirement]:
    """Yield the lines of a lock that are for this platform; what is no requirement is none of pip's."""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            requirement = Requirement(line)
        except InvalidRequirement:  # an option or a hash: it names no package
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            yield requirement


def compare_package(requirement: Requirement, version_of: Callable[[str], str | None]) -> Package:
    """Return one package of a lock, compared with what is installed."""
    locked = ",".join(sorted(specifier.version for specifier in requirement.specifier))
    installed = version_of(requirement.name)
    if installed is None:
        return Package(requirement.name, locked, MISSING, is_as_locked=False)
    is_as_locked = requirement.specifier.contains(installed, prereleases=True)
    return Package(requirement.name, locked, installed, is_as_locked)


def installed_version(name: str) -> str | None:
    """Return the version of a package of this interpreter, None where it has none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
