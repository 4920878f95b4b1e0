"""What every source yields: labelled images as they were found, before any check."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tasks.data.dataset import Split

Report = Callable[[str, int, int], None]  # (stage, done, total): how far a long step is


def report_nothing(stage: str, done: int, total: int) -> None:
    """Be the `Report` of a caller who does not look."""


@dataclass(frozen=True, slots=True)
class RawImage:
    """One image of a source.

    `data` is the encoded file, or its pixels (H, W) or (H, W, 3) uint8; `label` is None where the source has none;
    `split` is what the source publishes; `name` is for messages, relative to the source; `added_at` is an ISO time
    of the source's own, never the clock's.
    """

    data: bytes | npt.NDArray[np.uint8]
    label: str | None
    split: Split | None
    name: str
    added_at: str


@dataclass(frozen=True)
class Source:
    """A place that labelled images come from, opened and listed but not yet read.

    `fingerprint` changes when the source does and is cheap: sizes and times, not contents. `publishes` are the
    splits that the source decides itself. `class_order` is empty where labels have no order of their own.
    `read` yields every image once, in an order that depends on the source alone.
    """

    name: str
    kind: str
    fingerprint: str
    size_bytes: int
    n_images: int
    read: Callable[[], Iterator[RawImage]]
    publishes: frozenset[Split] = field(default_factory=frozenset)
    class_order: tuple[str, ...] = ()
