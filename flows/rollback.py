"""The flow that takes the champion out of production again."""

from prefect import flow

from tasks.release import roll_back_release
from tasks.rollout.status import Outcome
from tasks.settings import load_settings


@flow(name="rollback", description="Bring the previous version back into production.")
def rollback(reason: str = "asked for by hand") -> Outcome:
    """Go back to the previous version and return the controller's answer.

    Args:
        reason: Why; it stands in the ledger.

    Raises:
        ConfigError: there is no previous version.
        ReleaseError: no controller answers, or it could not go back.
    """
    return roll_back_release(load_settings(), why=reason)
