"""The flow that makes a registered version again and compares it bit for bit."""

from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from tasks.reproduce import reproduce_version
from tasks.reproduction.evidence import Evidence, NotReproducedError
from tasks.reproduction.page import to_markdown
from tasks.settings import load_settings

Version = Annotated[int, Field(ge=1)]


@flow(name="reproduce", description="Make a registered version again from its records and compare it bit for bit.")
def reproduce(
    version: Version, tracking_uri: str = "", data_remote: str = "", restore_environment: bool = True
) -> Evidence:
    """Reproduce `version` and return the evidence, which also stands with its run in MLflow.

    Args:
        version: The registered version, as MLflow counts them.
        tracking_uri: The MLflow that has it; empty: the project's.
        data_remote: The DVC remote that has its data; empty: the project's, else the one recorded with the version.
        restore_environment: Install the version's dependency lock where other packages are installed here.

    Raises:
        NotReproducedError: other bits in an equal environment, or something was altered; it holds the evidence.
        EvergreenError: something that is needed is not to be had here, and nothing was compared.
    """
    evidence = reproduce_version(
        load_settings(),
        version,
        tracking_uri=tracking_uri,
        data_remote=data_remote,
        restore_environment=restore_environment,
    )
    create_markdown_artifact(
        key="reproduction", markdown=to_markdown(evidence), description=f"Version {version}: {evidence.verdict}"
    )
    if evidence.verdict.exit_code == NotReproducedError.exit_code:
        raise NotReproducedError(evidence)
    return evidence
