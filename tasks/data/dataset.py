"""What the data stage hands on: a packed dataset, its DVC version, and its pixels as a memory map."""

import enum
from dataclasses import dataclass, field
from pathlib import Path


class Split(enum.IntEnum):
    """Where an image belongs; the integers stand in `PixelMap.splits`."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2

    @property
    def title(self) -> str:
        """The split's name in shards, counts and the digest: "train", "validation", "test"."""
        return self.name.lower()


@dataclass(frozen=True)
class Dataset:
    """A packed dataset: Parquet shards and a manifest in `folder`.

    `digest` is the SHA-256 over the sorted (image sha256, label, split); `counts` maps a split's name
    to the number of images of each class, in the order of `classes`; `quarantined` counts bad rows by reason;
    `dropped` counts good rows that repeat an image, by reason; `reason` says why this was packed or reused.
    """

    folder: Path
    digest: str
    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    shards: tuple[str, ...]
    quarantined: dict[str, int]
    dropped: dict[str, int] = field(default_factory=dict)
    reason: str = ""

    @property
    def size(self) -> int:
        """The number of images."""
        return sum(map(sum, self.counts.values()))


@dataclass(frozen=True)
class DatasetVersion:
    """A dataset that DVC can restore: `dvc_text` is its .dvc file, `dvc_md5` the folder's md5 in it."""

    dataset: Dataset
    dvc_md5: str
    dvc_text: str
    remote: str


@dataclass(frozen=True)
class PixelMap:
    """A dataset's images as `.npy` memory maps in `folder`, one row an image, sorted by (split, sha256, label).

    So the order does not depend on the shards, and each split is one slice that need not be copied.
    images.npy (N, channels, size_px, size_px) uint8, labels.npy (N,) int64, splits.npy (N,) uint8 of `Split`,
    ids.npy (N,) S64: the images' SHA-256 in hex, statistics.npy (N,) of `serving.records.STATISTICS`: of the images as
    sent, whatever size_px is.
    """

    folder: Path
    digest: str
    classes: tuple[str, ...]
    channels: int
    size_px: int
