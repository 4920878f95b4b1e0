"""Sources: one file for each kind of place that labelled images come from."""

from pathlib import Path

from tasks.data.sources.fashion_mnist import open_fashion_mnist
from tasks.data.sources.idx import open_idx
from tasks.data.sources.image_folder import open_image_folder
from tasks.data.sources.parquet import open_parquet
from tasks.data.sources.raw import RawImage, Report, Source, report_nothing
from tasks.errors import ConfigError
from tasks.settings import SourceSettings

__all__ = ["RawImage", "Report", "Source", "open_source", "report_nothing"]


def open_source(settings: SourceSettings, *, root: Path, home: Path, report: Report) -> Source:
    """Return the source that the settings name; `root` is what relative locations start from.

    Raises:
        ConfigError: a kind that needs a location has none.
        DataError: nothing usable is there.
    """
    name = settings.name or settings.kind
    if settings.kind == "fashion-mnist":
        return open_fashion_mnist(settings.location, name, root, home, report)
    if not settings.location:
        raise ConfigError(f'data.sources: {name!r} has no location; a source of kind "{settings.kind}" needs one')
    openers = {"idx": open_idx, "image_folder": open_image_folder, "parquet": open_parquet}
    return openers[settings.kind](settings.location, name, root)
