"""A version's stage, as MLflow's UI shows it. Aliases are the truth; stages follow them, by the one function below."""

import enum
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

STAGE_TAG = "evergreen.stage"


class Stage(enum.StrEnum):
    """Where a version stands; the values are MLflow's own."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


def set_stage(client: "MlflowClient", model: str, version: int, stage: Stage) -> None:
    """Move a version to a stage: MLflow's native stage, then the tag that outlives MLflow's stages.

    Every change of a stage goes through here.
    """
    with warnings.catch_warnings():
        # MLflow means to remove stages one day and says so on each call; the tag is there for that day.
        warnings.filterwarnings("ignore", message=r".*transition_model_version_stage", category=FutureWarning)
        client.transition_model_version_stage(model, str(version), stage.value)
    client.set_model_version_tag(model, str(version), STAGE_TAG, stage.value)
