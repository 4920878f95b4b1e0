"""What differs between a version's records and what was found here; and what a difference means. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ENVIRONMENT = ("hardware.", "version.", "package.")  # facts of the machine and of what is installed on it
MADE_WITH_PACKAGES = "code.pixels"  # the code that unpacks images, together with the versions of its libraries
NONE = "none"


@dataclass(frozen=True)
class Fact:
    """One compared fact, in words: as it was recorded with the version, and as it is here."""

    name: str
    recorded: str
    here: str

    @property
    def is_same(self) -> bool:
        """Whether both are equal."""
        return self.recorded == self.here

    def __str__(self) -> str:
        return f"{self.name}: recorded {self.recorded or NONE}, here {self.here or NONE}"


def compare_facts(recorded: Mapping[str, str], here: Mapping[str, str]) -> tuple[Fact, ...]:
    """Return every fact of either side, those of `recorded` first; what a side lacks is empty there."""
    names = [*recorded, *(name for name in here if name not in recorded)]
    return tuple(Fact(name, recorded.get(name, ""), here.get(name, "")) for name in names)


def differing(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Return the facts that are not the same."""
    return tuple(fact for fact in facts if not fact.is_same)


def environment_differences(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Return what differs in hardware and installed versions: where nothing does, bits can be expected to agree."""
    return tuple(fact for fact in differing(facts) if fact.name.startswith(ENVIRONMENT))


def record_differences(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Return what differs although it was restored from the records: code, lock, settings, seed, data.

    Two records of one version contradict each other there. The code that unpacks images is named together with its
    libraries' versions, so that it says nothing where those differ.
    """
    facts = tuple(facts)
    is_other_environment = bool(environment_differences(facts))
    return tuple(
        fact
        for fact in differing(facts)
        if not fact.name.startswith(ENVIRONMENT) and not (fact.name == MADE_WITH_PACKAGES and is_other_environment)
    )


def describe_differences(facts: Iterable[Fact]) -> list[str]:
    """Return lines that say what differs here, and whether bits can be expected to agree."""
    facts = tuple(facts)
    found = environment_differences(facts)
    if not found:
        return [f"nothing of {len(facts)} facts differs here: the bits can be expected to agree"]
    lines = [f"  {fact}" for fact in found]
    return [
        f"{len(found)} of {len(facts)} facts differ here: the bits cannot be expected to agree, "
        "and nothing will be called reproduced",
        *lines,
    ]
