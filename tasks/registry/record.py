"""What the registry stage hands on: a model version, what the aliases say, and the release that was asked for."""

import dataclasses
import json
import re
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

NO_PREVIOUS = "there is no previous version to go back to: the next release makes one, and a rollback uses it up"
RELEASE_AGAINST_TAG = "evergreen.release_against"  # its run wants it released, judged against this champion
NO_CHAMPION = 0  # as `judged_against`; MLflow's versions begin with 1

_DIGEST = re.compile(r"[0-9a-f]{64}")


class NotRegisteredError(RegistryError):
    """MLflow answered that there is no such version: an answer, not an outage."""


class UnusableBundleError(RegistryError):
    """A version's bundle is damaged, gone or another one: fetching it again does not help."""


def is_digest(text: str) -> bool:
    """Whether a text is a bundle's digest, SHA-256 in hexadecimal: a tag of MLflow's may hold anything."""
    return _DIGEST.fullmatch(text) is not None


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
    """What the controller is asked to bring about, and by whom; `version` and `digest` are None for a rollback.

    `judged_against` is the champion that the version was judged better than, `NO_CHAMPION` where there was none: the
    request fails where production has another one by then. None asks for the version whatever the champion is.
    """

    id: str
    action: Action
    version: int | None
    digest: str | None
    who: str
    why: str
    asked_at: str
    judged_against: int | None = None

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
