"""Settings: `evergreen.toml` and `EVERGREEN_*` variables, read once into one frozen `Settings`.

Precedence: arguments of a flow > `EVERGREEN_SECTION__KEY` variables > the file. Unknown keys are
refused with the nearest known one. The file has every value: a default here would be a second truth.
"""

import os
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from tasks.errors import ConfigError
from tasks.settings_keys import (
    PREFIX,
    Positive,
    Section,
    describe,
    nearest,
    setting_paths,
    unknown_keys,
    unknown_variables,
)
from tasks.settings_training import CandidateSettings, TrainingSettings, find_twins

Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(gt=0, lt=65536)]


class ModelSettings(Section):
    """What the model is called and what it sees."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    channels: Literal[1, 3]
    size_px: Annotated[int, Field(ge=8, le=1024)]


class SourceSettings(Section):
    """One source of labelled images; `location` is a path or an fsspec address."""

    kind: Literal["fashion-mnist", "idx", "image_folder", "parquet"]
    location: str = ""
    name: str = ""  # empty: the kind


class DataSettings(Section):
    """Where images come from and when a dataset is refused."""

    folder: Path
    remote: str
    classes: tuple[str, ...]
    shard_bytes: Positive
    validation_share: Fraction
    test_share: Fraction
    max_image_pixels: Positive
    min_images_per_class: Positive
    max_quarantined_share: Fraction
    sources: Annotated[tuple[SourceSettings, ...], Field(min_length=1)]


class GateSettings(Section):
    """Limits that decide whether a challenger wins."""

    min_accuracy: Fraction
    max_accuracy_drop: Fraction
    min_class_recall: Fraction
    min_class_images: Positive
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    max_prediction_error: Annotated[float, Field(gt=0, lt=1)]


class ReleaseSettings(Section):
    """How a version reaches traffic."""

    engine: Literal["process"]
    steps_pct: Annotated[tuple[Annotated[int, Field(gt=0, le=100)], ...], Field(min_length=1)]
    tick_s: Seconds
    ready_timeout_s: Seconds
    unready_grace_s: Seconds
    max_failed_checks: Positive
    drain_s: Seconds
    timeout_s: Seconds

    @field_validator("steps_pct")
    @classmethod
    def _rise_to_100(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if list(steps) != sorted(set(steps)) or steps[-1] != 100:
            raise ValueError("the steps must rise and end at 100, such as [10, 50, 100]")
        return steps


class ServingSettings(Section):
    """Limits of one server."""

    threads: Positive
    max_batch: Positive
    max_body_bytes: Positive


class StackSettings(Section):
    """Addresses of the local services."""

    host: str
    prefect_port: Port
    mlflow_port: Port
    router_port: Port
    router_admin_port: Port
    tracking_folder: Path

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        ports = {name: value for name, value in self if name.endswith("_port")}
        for name, port in ports.items():
            twin = next(other for other, value in ports.items() if value == port)
            if twin != name:
                raise ValueError(f"{twin} and {name} are both {port}: each service needs a port of its own")
        return self


class Settings(BaseSettings):
    """Every setting of a project, resolved; `root` is the folder of its file."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__")

    model: ModelSettings
    data: DataSettings
    training: TrainingSettings
    candidates: tuple[CandidateSettings, ...] = ()  # none: one training, as `[training]` says
    gates: GateSettings
    release: ReleaseSettings
    serving: ServingSettings
    stack: StackSettings
    _file: Path = PrivateAttr()

    @property
    def file(self) -> Path:
        """The settings file, absolute."""
        return self._file

    @property
    def root(self) -> Path:
        """The project: the folder that holds the settings file, data.dvc and data/."""
        return self._file.parent

    @property
    def home(self) -> Path:
        """Local state that is not the project's: `EVERGREEN_HOME`, by default `.evergreen/`."""
        return (self.root / (os.environ.get("EVERGREEN_HOME") or ".evergreen")).resolve()

    @property
    def data_folder(self) -> Path:
        """The packed dataset's folder, absolute."""
        return (self.root / self.data.folder).resolve()

    @property
    def tracking_folder(self) -> Path:
        """MLflow's database and artifacts, absolute."""
        return (self.root / self.stack.tracking_folder).resolve()

    @property
    def tracking_uri(self) -> str:
        """The address of MLflow's server: `MLFLOW_TRACKING_URI`, else the local stack's."""
        return os.environ.get("MLFLOW_TRACKING_URI") or self.local_tracking_uri

    @property
    def local_tracking_uri(self) -> str:
        """The address of the local stack's MLflow."""
        return f"http://{self.stack.host}:{self.stack.mlflow_port}"

    @property
    def is_tracking_local(self) -> bool:
        """Whether runs and models are kept in `tracking_folder`."""
        return self.tracking_uri == self.local_tracking_uri

    @property
    def router_url(self) -> str:
        """Where callers of the model send their requests."""
        return f"http://{self.stack.host}:{self.stack.router_port}"

    def override(self, values: Mapping[str, Any]) -> Self:
        """Return these settings with some replaced: `{"training.epochs": 2}`, as a flow's arguments say.

        Raises:
            ConfigError: an unknown key or a value out of range.
        """
        known = set(setting_paths(type(self))) - {"candidates"}
        errors = [unknown_override(key, value, known) for key, value in values.items() if key not in known]
        sections: dict[str, dict[str, Any]] = {}
        for key in [key for key in values if key in known]:
            section, _, name = key.partition(".")
            sections.setdefault(section, {})[name] = values[key]
        errors += unknown_keys(sections, type(self))
        replaced = {}
        for name, changes in sections.items():
            old: Section = getattr(self, name)
            try:
                replaced[name] = type(old).model_validate({**old.model_dump(), **changes})
            except ValidationError as error:
                errors += describe(error, f"{name}.")
        if errors:
            raise ConfigError("\n".join(errors))
        changed = self.model_copy(update=replaced)
        if errors := list(find_twins(changed.training, changed.candidates)):
            raise ConfigError("\n".join(errors))
        return changed

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let variables win over the file, which comes in as keyword arguments."""
        return env_settings, init_settings


def unknown_override(key: str, value: object, known: Collection[str]) -> str:
    """Return a sentence for a key that cannot be replaced for one run."""
    if key.partition(".")[0] == "candidates":
        return f"{key} cannot be set for one run: write [[candidates]] into the file, or set EVERGREEN_CANDIDATES"
    return f"unknown key {key} = {value!r}" + nearest(key, known)


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings file at `path`, `EVERGREEN_CONFIG` or `evergreen.toml`, and the variables over it.

    Raises:
        ConfigError: a missing file, an unknown key or variable, a value out of range: all of them, at once.
    """
    path = (path or Path(os.environ.get("EVERGREEN_CONFIG") or "evergreen.toml")).resolve()
    if not path.is_file():
        raise ConfigError(
            f"no settings file at {path}: run from the project's folder, or set EVERGREEN_CONFIG to the file"
        )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not TOML, or not even UTF-8
        raise ConfigError(f"{path} is not TOML: {error}") from error
    errors = [*unknown_keys(values, Settings), *unknown_variables(os.environ, Settings)]
    try:
        settings = Settings(**values)
        errors += find_twins(settings.training, settings.candidates)
    except ValidationError as error:
        errors += describe(error, variables=os.environ)
    except SettingsError as error:
        errors.append(f"a variable that holds a list or a section must be JSON: {error}")
    if errors:
        raise ConfigError(f"{path.name}:\n" + "\n".join(f"  {line}" for line in errors))
    settings._file = path
    return settings
