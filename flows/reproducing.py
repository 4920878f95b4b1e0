"""Runs a reproduction from the command line: as a flow where a Prefect server is at hand, else without one.

A clone that reproduces a version of another one's MLflow needs no stack of its own.
"""

import logging
import os

from flows.stack import start_stack
from tasks.reproduction.evidence import Evidence, NotReproducedError
from tasks.settings import Settings
from tasks.stack.services import flow_environment, prefect_server
from tasks.stack.supervisor import is_up


def run_reproduction(
    settings: Settings, version: int, *, tracking_uri: str, data_remote: str, restore_environment: bool
) -> Evidence:
    """Reproduce a version and return the evidence, also where it is not reproduced.

    Raises:
        EvergreenError: something that is needed is not to be had here, and nothing was compared.
    """
    if not tracking_uri and settings.is_tracking_local:
        start_stack(settings, with_worker=False)  # the version is in its MLflow
    if not is_up(settings, prefect_server(settings)):
        from tasks.reproduce import reproduce_version  # noqa: PLC0415  # imports Prefect, and asks it nothing

        return reproduce_version.fn(
            settings,
            version,
            tracking_uri=tracking_uri,
            data_remote=data_remote,
            restore_environment=restore_environment,
        )
    os.environ.update(flow_environment(settings))  # before Prefect is imported
    logging.raiseExceptions = False  # a log that cannot be sent must not bury the error that says why
    from flows.reproduce import reproduce  # noqa: PLC0415

    try:
        return reproduce(
            version, tracking_uri=tracking_uri, data_remote=data_remote, restore_environment=restore_environment
        )
    except NotReproducedError as error:
        return error.evidence
