"""The registered model in MLflow: its versions, the aliases that say which one serves, and the release asked for.

Aliases are the truth, stages follow them. One `Registry` stands for one registered model.
"""

from datetime import UTC, datetime
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.exceptions import MlflowException

from tasks.registry import bundle_cache
from tasks.registry.client import connect, is_absent, reaching
from tasks.registry.record import (
    DESIRED_TAG,
    DIGEST_TAG,
    RELEASE_STATE_TAG,
    DesiredRelease,
    ModelVersion,
    NotRegisteredError,
    RegistryView,
    is_digest,
)
from tasks.registry.stages import Stage, set_stage


class Registry:
    """One registered model of the MLflow at `tracking_uri`.

    Every method raises RegistryError when MLflow cannot be reached or refuses.
    """

    def __init__(self, tracking_uri: str, model: str, *, client: MlflowClient | None = None) -> None:
        self.address = tracking_uri
        self.model = model
        self.client = client or connect(tracking_uri)

    def view(self) -> RegistryView:
        """Return the aliases and the desired release, in one request; empty before the first registration."""
        with reaching(self.address, f"reading the registered model {self.model}"):
            try:
                found = self.client.get_registered_model(self.model)
            except MlflowException as error:
                if is_absent(error):
                    return RegistryView()
                raise
        aliases = {alias: int(version) for alias, version in found.aliases.items()}
        desired = found.tags.get(DESIRED_TAG)
        return RegistryView(
            aliases.get("champion"),
            aliases.get("challenger"),
            aliases.get("previous"),
            DesiredRelease.from_json(desired) if desired else None,
        )

    def champion(self) -> ModelVersion | None:
        """Return the version in production; None only if the registry answered that there is none."""
        return self._aliased(self.view().champion)

    def challenger(self) -> ModelVersion | None:
        """Return the version that waits to be released, or None."""
        return self._aliased(self.view().challenger)

    def previous(self) -> ModelVersion | None:
        """Return the version that a rollback goes to, or None."""
        return self._aliased(self.view().previous)

    def _aliased(self, version: int | None) -> ModelVersion | None:
        return None if version is None else self.version(version)

    def version(self, number: int) -> ModelVersion:
        """Return a version by its number.

        Raises:
            NotRegisteredError: there is no such version.
        """
        with reaching(self.address, f"reading version {number} of {self.model}"):
            try:
                found = self.client.get_model_version(self.model, str(number))
            except MlflowException as error:
                if is_absent(error):
                    raise NotRegisteredError(
                        f"{self.model} has no version {number} at {self.address}; MLflow's model page lists them"
                    ) from error
                raise
        return to_record(found, tuple(found.aliases))

    def versions(self) -> tuple[ModelVersion, ...]:
        """Return all versions, oldest first, with the aliases as they were after the versions were read."""
        found: list[MlflowVersion] = []
        token: str | None = None
        with reaching(self.address, f"listing the versions of {self.model}"):
            while token != "":
                page = self.client.search_model_versions(f"name = '{self.model}'", page_token=token)
                found.extend(page)
                token = page.token or ""
        aliases = self.view().aliases
        named = [to_record(item, tuple(a for a, v in aliases.items() if v == int(item.version))) for item in found]
        return tuple(sorted(named, key=lambda version: version.version))

    def ask(self, desired: DesiredRelease) -> None:
        """Write the release that the controller shall bring about."""
        with reaching(self.address, f"asking for a {desired.action} of {self.model}"):
            self.client.set_registered_model_tag(self.model, DESIRED_TAG, desired.to_json())

    def desired(self) -> DesiredRelease | None:
        """Return the release asked for last, or None."""
        return self.view().desired

    def write_release_state(self, version: int, text: str) -> None:
        """Write a version's release state, JSON text, as one tag."""
        self.set_tag(version, RELEASE_STATE_TAG, text)

    def read_release_state(self, version: int) -> str | None:
        """Return a version's release state as it was written, or None if it never had one."""
        return self.version(version).tags.get(RELEASE_STATE_TAG)

    def set_tag(self, version: int, key: str, value: str) -> None:
        """Set one tag of a version."""
        with reaching(self.address, f"tagging version {version} of {self.model} with {key}"):
            self.client.set_model_version_tag(self.model, str(version), key, value)

    def set_alias(self, alias: str, version: int | None) -> None:
        """Point an alias at a version, or take it away with None."""
        with reaching(self.address, f"setting the alias {alias} of {self.model} to {version}"):
            if version is None:
                self.client.delete_registered_model_alias(self.model, alias)
            else:
                self.client.set_registered_model_alias(self.model, alias, str(version))

    def set_stage(self, version: int, stage: Stage) -> None:
        """Move a version to a stage."""
        with reaching(self.address, f"moving version {version} of {self.model} to {stage}"):
            set_stage(self.client, self.model, version, stage)

    def download_bundle(self, version: int, cache: Path) -> Path:
        """Return the folder of a version's bundle below `cache`, fetched if it is not there, and verified.

        Raises:
            NotRegisteredError: there is no such version.
            UnusableBundleError: its bundle is not there, or not the one that was registered.
        """
        return bundle_cache.download(self.version(version), cache, self.address)


def to_record(found: MlflowVersion, aliases: tuple[str, ...]) -> ModelVersion:
    """Return our record of MLflow's version; `digest` is empty for one that was not registered by Evergreen."""
    digest = found.tags.get(DIGEST_TAG, "")
    return ModelVersion(
        name=found.name,
        version=int(found.version),
        digest=digest if is_digest(digest) else "",
        run_id=found.run_id or "",
        stage=Stage(str(found.current_stage)),
        aliases=aliases,
        tags=dict(found.tags),
        source=found.source or "",
        created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
    )
