"""Registering a judged model: a version with its tags, then the alias and the stage that its verdict earned.

Safe to repeat: a run killed between two of the writes finds the version that it made and completes it.
"""

from collections.abc import Mapping

from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.exceptions import MlflowException

from tasks.errors import RegistryError
from tasks.registry.client import is_absent, is_present, reaching
from tasks.registry.lineage import LINEAGE_TAG
from tasks.registry.record import DIGEST_TAG, RUN_TAG, VERDICT_TAG, ModelVersion
from tasks.registry.registry import Registry
from tasks.registry.settling import settle
from tasks.registry.stages import Stage

ACCEPTED = "pass"
_LOGGED_MODEL = "models:/m-"


def register(
    registry: Registry,
    run_id: str,
    source: str,
    *,
    digest: str,
    verdict: str,
    tags: Mapping[str, str],
    description: str = "",
) -> ModelVersion:
    """Make or complete the version of a run, and place it: accepted -> challenger, Staging; else -> Archived.

    `source` is the logged model ("models:/m-..."), `description` what MLflow's list shows of it. A version that
    has moved on since (to production, or out of it) keeps its place.

    Raises:
        RegistryError: MLflow cannot be reached or refuses, or `source` is not the address of a logged model.
    """
    wanted = {**tags, DIGEST_TAG: digest, RUN_TAG: run_id, VERDICT_TAG: verdict}
    with reaching(registry.address, f"registering {registry.model} from run {run_id}"):
        found = find_version(registry, run_id, digest)
        if found is None:
            found = create_version(registry, run_id, source, wanted, description)
    number = int(found.version)
    for key, value in wanted.items():
        if found.tags.get(key) != value:
            registry.set_tag(number, key, value)
    if Stage(str(found.current_stage)) in (Stage.NONE, Stage.STAGING):
        place(registry, number, is_accepted=verdict == ACCEPTED)
    settle(registry)
    return registry.version(number)


def find_version(registry: Registry, run_id: str, digest: str) -> MlflowVersion | None:
    """Return the version that this run made of this bundle; the oldest, should a lost answer have made two."""
    page = registry.client.search_model_versions(
        f"name = '{registry.model}' and run_id = '{run_id}'", order_by=["version_number ASC"]
    )
    return next((version for version in page if version.tags.get(DIGEST_TAG) == digest), None)


def create_version(
    registry: Registry, run_id: str, source: str, tags: Mapping[str, str], description: str
) -> MlflowVersion:
    """Make a version with all its tags in one request, and the registered model before its first one.

    The digest of the run's lineage stands with the version too: who edits one of them contradicts the other.
    """
    if not source.startswith(_LOGGED_MODEL):
        raise RegistryError(f"source {source!r} is no logged model: expected the address {_LOGGED_MODEL}... of one")
    model_id = source.removeprefix("models:/")
    # The artifacts' own address: given models:/m-..., a client without a server asks its global address for it.
    location = registry.client.get_logged_model(model_id).artifact_location
    lineage = registry.client.get_run(run_id).data.tags.get(LINEAGE_TAG)
    tags = {**tags, **({LINEAGE_TAG: lineage} if lineage else {})}

    def new_version() -> MlflowVersion:
        return registry.client.create_model_version(
            registry.model,
            location,
            run_id=run_id,
            tags=dict(tags),
            description=description or None,
            await_creation_for=0,
            model_id=model_id,
        )

    try:
        return new_version()
    except MlflowException as error:
        if not is_absent(error):
            raise
    try:
        registry.client.create_registered_model(registry.model)
    except MlflowException as error:
        if not is_present(error):
            raise
    return new_version()


def place(registry: Registry, version: int, *, is_accepted: bool) -> None:
    """Make a version the challenger, or archive it; of two accepted ones the newer is the challenger."""
    challenger = registry.view().challenger
    if not is_accepted or (challenger is not None and challenger > version):
        registry.set_stage(version, Stage.ARCHIVED)
    elif challenger != version:
        registry.set_alias("challenger", version)
