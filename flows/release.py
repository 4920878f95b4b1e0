"""The flow that brings a registered version into production."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from tasks.release import release_version
from tasks.rollout.status import Outcome
from tasks.settings import load_settings

Version = Annotated[int, Field(ge=1)]


@flow(name="release", description="Bring a registered version into production, behind the router.")
def release(version: Version, reason: str = "asked for by hand") -> Outcome:
    """Release `version` and return the controller's answer.

    Args:
        version: The registered version to bring into production, as MLflow counts them.
        reason: Why; it stands in the ledger.

    Raises:
        ReleaseError: the version failed on the way and the champion stayed, or no controller answers.
    """
    return release_version(load_settings(), version, why=reason)
