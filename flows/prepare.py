"""The flow that prepares data alone: pack what changed, check it, version it."""

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.retrain import describe_data
from tasks.prepare import Prepared, prepare_data
from tasks.settings import load_settings


@flow(name="prepare", description="Pack what changed in the sources, check the images, version the dataset with DVC.")
def prepare() -> Prepared:
    """Prepare the dataset and return it.

    Raises:
        DataError: a source, or the dataset as a whole, cannot be used; what was packed stays as it was.
    """
    prepared = prepare_data(load_settings())
    create_markdown_artifact(key="dataset", markdown=describe_data(prepared), description="The dataset")
    return prepared
