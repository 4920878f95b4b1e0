"""The verb "prepare": from sources to a versioned dataset and its pixels."""

from dataclasses import dataclass

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks import progress
from tasks.data.dataset import DatasetVersion, PixelMap
from tasks.data.disk import check_space
from tasks.data.pixels import build_pixels
from tasks.data.prepare_dataset import prepare_dataset
from tasks.data.versioning import compare_with_pinned, read_pinned, version_dataset
from tasks.settings import Settings

STAGE = "data"
RUN_BYTES = 20_000_000  # a bundle, per-image predictions and pictures; the built-in model's take 3 MB


@dataclass(frozen=True)
class Prepared:
    """A versioned dataset, its pixels in the model's size, and sentences: what was reused, how it compares."""

    version: DatasetVersion
    pixels: PixelMap
    reason: str
    baseline: str


@task(name="prepare data", cache_policy=NO_CACHE)
def prepare_data(settings: Settings) -> Prepared:
    """Pack what changed in the sources, version the dataset with DVC, and unpack its pixels for training.

    Raises:
        DataError: a source, or the dataset as a whole, cannot be used.
    """
    if settings.is_tracking_local:  # now, rather than after the training
        check_space(settings.tracking_folder, RUN_BYTES, "keep the run in MLflow")

    def report(stage: str, done: int, total: int) -> None:
        progress.update(STAGE, done, total, stage)

    dataset = prepare_dataset(settings.data, root=settings.root, home=settings.home, report=report)
    report("version with DVC", 0, 0)
    version = version_dataset(dataset, root=settings.root, remote=settings.data.remote, home=settings.home)
    pixels = build_pixels(
        dataset,
        channels=settings.model.channels,
        size_px=settings.model.size_px,
        cache=settings.home / "cache",
        report=report,
    )
    pinned = read_pinned(settings.root, settings.data.folder)
    baseline = compare_with_pinned(dataset, pinned) if pinned else "no data.dvc: `evergreen data pin` writes one"
    get_run_logger().info("Dataset %s: %s images; %s; %s", dataset.digest, dataset.size, dataset.reason, baseline)
    return Prepared(version, pixels, dataset.reason, baseline)
