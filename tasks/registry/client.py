"""Reaching MLflow: one way to connect, and one translation of its errors.

"There is none" is an answer; an outage is not, and is raised as a RegistryError with the address and the way out.
"""

import contextlib
import os
from collections.abc import Iterator

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from sqlalchemy.exc import SQLAlchemyError

from tasks.errors import RegistryError

# MLflow reads these at each use. Its own limits (120 s, 7 retries that back off) hide an outage for minutes, and its
# progress bars and addresses break up other output. A variable that is set already wins.
CLIENT_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.5",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_LONGEST_REASON = 300


def connect(tracking_uri: str) -> MlflowClient:
    """Return a client of the MLflow at `tracking_uri` that notices an outage within seconds.

    Raises:
        RegistryError: `tracking_uri` is no address that MLflow knows, or its database cannot be opened.
    """
    for name, value in CLIENT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    with reaching(tracking_uri, "connecting"):
        return MlflowClient(tracking_uri, registry_uri=tracking_uri)


@contextlib.contextmanager
def reaching(address: str, doing: str) -> Iterator[None]:
    """Turn what MLflow raises within into a RegistryError; `doing` says what was attempted.

    Raises:
        RegistryError: MLflow at `address` could not be reached, or refused.
    """
    try:
        yield
    except RestException as error:
        raise RegistryError(f"{doing}: MLflow at {address} refused: {_reason(error)}") from error
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise RegistryError(
            f"{doing}: MLflow at {address} did not do it: {_reason(error)}; if it is not running, start it "
            "with `evergreen up`, or set MLFLOW_TRACKING_URI to the one to use"
        ) from error


def is_absent(error: MlflowException) -> bool:
    """Whether MLflow answered that the thing asked for does not exist: an answer, not an outage."""
    return bool(error.error_code == "RESOURCE_DOES_NOT_EXIST")


def is_present(error: MlflowException) -> bool:
    """Whether MLflow answered that the thing to be made is there already."""
    return bool(error.error_code == "RESOURCE_ALREADY_EXISTS")


def _reason(error: Exception) -> str:
    """Return the start of an error's text on one line."""
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + " ..."
