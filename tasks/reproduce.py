"""The verb "reproduce": a registered version made again from its records, and the evidence logged to its run."""

import dataclasses
import socket
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from serving.bundle.durable import write_durably
from tasks import progress
from tasks.errors import DataError, RegistryError
from tasks.evaluation.scores import read_predictions
from tasks.registry.git import read_commit
from tasks.registry.lineage import COMMIT_TAG, NO_COMMIT
from tasks.registry.origin import PREDICTIONS, Origin, read_origin
from tasks.registry.registry import Registry
from tasks.registry.tracking import TrackedRun
from tasks.reproduction.contradictions import find_altered_files, find_contradictions
from tasks.reproduction.evidence import REPRODUCED_TAG, Evidence
from tasks.reproduction.making import Making, make_again
from tasks.reproduction.page import to_json, to_markdown
from tasks.reproduction.predictions import compare_predictions
from tasks.reproduction.records import Records, read_records
from tasks.reproduction.worktree import workplace
from tasks.settings import Settings
from tasks.training.code import PROJECT

ARTIFACTS = "reproductions"  # of the run


@task(name="reproduce version", cache_policy=NO_CACHE)
def reproduce_version(
    settings: Settings, version: int, *, tracking_uri: str = "", data_remote: str = "", restore_environment: bool = True
) -> Evidence:
    """Make a version again from its records, compare it bit for bit, and log the evidence to its run.

    `tracking_uri` and `data_remote` default to the project's, and the latter to where the version's data was put.

    Raises:
        ConfigError: the version keeps no records to be made from, or its commit or weights file is not to be had here.
        DataError: its data is not to be had.
        TrainingError: no model came out.
        RegistryError: there is no such version, or MLflow cannot be reached.
    """
    registry = Registry(tracking_uri or settings.tracking_uri, settings.model.name)
    times = progress.StageTimes()
    with workplace(settings.home) as folder:
        with times.measure("records"):
            origin = read_origin(registry, version, folder)
            records, findings = examine(origin)
        evidence = begin_evidence(registry, origin, records, findings)
        if records is not None and origin.bundle is not None and not findings:
            making = Making(
                records=records,
                folder=folder,
                data_remote=data_remote or settings.data.remote or records.data_remote,
                data_root=settings.root,
                bundle=origin.bundle,
                may_install=restore_environment,
            )
            evidence = make_and_compare(evidence, making, origin, times)
    evidence = dataclasses.replace(evidence, seconds=dict(times))
    log_evidence(settings, registry, evidence)
    return evidence


def examine(origin: Origin) -> tuple[Records | None, tuple[str, ...]]:
    """Return the records of a version, and a sentence for whatever in them is not as it was recorded.

    Raises:
        ConfigError: the version was registered before runs kept their lineage.
    """
    findings = [*find_altered_files(origin), *filter(None, [origin.bundle_problem])]
    try:
        records = read_records(origin)
    except ValueError as error:
        return None, (*findings, str(error))
    return records, (*findings, *find_contradictions(origin, records))


def begin_evidence(registry: Registry, origin: Origin, records: Records | None, findings: tuple[str, ...]) -> Evidence:
    """Return the evidence as far as it is known before anything is made."""
    return Evidence(
        model=origin.version.name,
        version=origin.version.version,
        digest=origin.version.digest,
        run_id=origin.version.run_id,
        tracking=registry.address,
        at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        host=socket.gethostname(),
        code_here=read_commit(PROJECT) or NO_COMMIT,
        commit=records.commit if records else origin.tags.get(COMMIT_TAG, ""),
        has_patch=bool(records and records.patch),
        findings=findings,
        tolerance=origin.bundle.contract.tolerance if origin.bundle else 0.0,
    )


def make_and_compare(evidence: Evidence, making: Making, origin: Origin, times: progress.StageTimes) -> Evidence:
    """Make the version again and return the evidence with all that was compared."""
    made = make_again(making, times)
    evidence = dataclasses.replace(
        evidence, facts=made.facts, findings=made.findings, notes=made.notes, weights=made.weights
    )
    if made.predictions is None or origin.predictions is None:
        return evidence
    remade = read_predictions(made.predictions)
    try:
        compared = compare_predictions(read_predictions(origin.predictions), remade)
    except DataError as error:  # the data is as recorded, so it is the kept file that is not
        return dataclasses.replace(evidence, findings=(f"{PREDICTIONS}: {error}",))
    return dataclasses.replace(evidence, predictions=compared)


def log_evidence(settings: Settings, registry: Registry, evidence: Evidence) -> None:
    """Log the evidence to the run, and its short form to run and version; a copy stays in EVERGREEN_HOME.

    Raises:
        RegistryError: MLflow cannot be reached, with the place of the copy.
    """
    texts = {f"{evidence.name}.json": to_json(evidence), f"{evidence.name}.md": to_markdown(evidence)}
    kept = settings.home / ARTIFACTS / "evidence" / f"{evidence.model}-{evidence.version}"
    for name, text in texts.items():
        write_durably(kept / name, text)
    run = TrackedRun(registry.client, registry.address, evidence.run_id)
    try:
        run.log_texts(texts, ARTIFACTS)
        run.set_tags({REPRODUCED_TAG: evidence.tag})
        registry.set_tag(evidence.version, REPRODUCED_TAG, evidence.tag)
    except RegistryError as error:
        raise RegistryError(
            f"version {evidence.version}: {evidence.verdict}, but {error}; the evidence is in {kept}"
        ) from error
