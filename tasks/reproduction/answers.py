"""What the recorded code answered, as compared facts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.errors import TrainingError
from tasks.registry.git import read_commit
from tasks.registry.lineage import NO_COMMIT
from tasks.reproduction.differences import Fact, compare_facts
from tasks.reproduction.evidence import Weights
from tasks.reproduction.packages import Package
from tasks.reproduction.records import Records


def compare_answer(records: Records, code: Path, answer: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Return every fact that is known before anything trains: the code's, the step key's, the packages'.

    Raises:
        TrainingError: another code than that of the checkout answered.
    """
    if Path(answer["code"]).resolve() != code.resolve():
        raise TrainingError(
            f"the code in {answer['code']} ran, expected that in {code}: unset PYTHONSAFEPATH and PYTHONHOME"
        )
    here = {str(name): str(value) for name, value in answer["parts"].items()}
    commit = Fact("commit", records.commit, read_commit(code) or NO_COMMIT)
    return (commit, *compare_facts(records.inputs, here), *package_facts(answer))


def package_facts(answer: Mapping[str, Any]) -> list[Fact]:
    """Return each package that is not the lock's as a compared fact, and the number of those that are."""
    packages = [Package(**values) for values in answer["packages"]]
    same = sum(package.is_as_locked for package in packages)
    others = [
        Fact(f"package.{package.name}", package.locked, package.installed)
        for package in packages
        if not package.is_as_locked
    ]
    return [*others, Fact("packages as the lock says", str(same), str(same))]


def data_facts(records: Records, data: Mapping[str, Any]) -> list[Fact]:
    """Return the data as compared facts."""
    return [
        Fact("data, DVC's md5", records.dvc_md5, data["md5"]),
        Fact("data, digest over its images", records.data_digest, data["digest"]),
    ]


def data_note(data: Mapping[str, Any]) -> str:
    """Return what was looked at of the data, and where it came from."""
    return f"data: {data['files']} files and {data['images']:,} images, each as recorded, from {data['place']}"


def compare_weights(recorded: str, result: Mapping[str, Any]) -> Weights:
    """Return the weights as registered and as made again."""
    return Weights(
        recorded=recorded,
        remade=result["weights_sha256"],
        module_recorded=result["registered_module_sha256"],
        module_remade=result["module_sha256"],
    )
