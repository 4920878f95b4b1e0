"""What the registry stage hands on: a model version, what the aliases say, and the release that was asked for."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from tasks.errors import RegistryError
from tasks.registry.stages import Stage

Action = Literal["release", "rollback"]

# Tags on a version (the last on the registered model), as MLflow's UI shows them.
DIGEST_TAG = "evergreen.digest"
RUN_TAG = "evergreen.run"
VERDICT_TAG = "evergreen.verdict"
REASON_TAG = "evergreen.reason"
ACCURACY_TAG = "evergreen.accuracy"  # on the test set, a fraction
GATE_DIGEST_TAG = "evergreen.gate_digest"
DATA_DIGEST_TAG = "evergreen.data_digest"
RELEASE_STATE_TAG = "evergreen.release_state"
DESIRED_TAG = "evergreen.desired"


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model; `digest` is its bundle's, `source` is where MLflow keeps it."""

    name: str
    version: int
    digest: str
    run_id: str
    stage: Stage
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    source: str
    created_at: datetime


@dataclass(frozen=True)
class DesiredRelease:
    """What the controller is asked to bring about, and by whom; `version` and `digest` are None for a rollback."""

    id: str
    action: Action
    version: int | None
    digest: str | None
    who: str
    why: str
    asked_at: str

    def to_json(self) -> str:
        """Return the release as the text of a tag."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "DesiredRelease":
        """Read a release from the text of a tag.

        Raises:
            RegistryError: not what `to_json` wrote.
        """
        try:
            desired = cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise RegistryError(
                f"the desired release {text!r} cannot be read: {error}; ask for a release again"
            ) from error
        if desired.action not in get_args(Action):
            raise RegistryError(
                f"the desired release asks for {desired.action!r}; expected one of {', '.join(get_args(Action))}"
            )
        return desired


@dataclass(frozen=True)
class RegistryView:
    """What MLflow answered in one request: the version behind each alias, and the desired release."""

    champion: int | None = None
    challenger: int | None = None
    previous: int | None = None
    desired: DesiredRelease | None = None

    @property
    def aliases(self) -> dict[str, int]:
        """The aliases that are set, with their versions."""
        versions = {"champion": self.champion, "challenger": self.challenger, "previous": self.previous}
        return {alias: version for alias, version in versions.items() if version is not None}
