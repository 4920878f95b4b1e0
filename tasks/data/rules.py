"""The rules that rows are packed by, and the split as a function of the image. Pure."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass

from tasks.data.dataset import Split
from tasks.settings import DataSettings

PACKING = 1  # raised when the code packs the same image differently


@dataclass(frozen=True)
class Rules:
    """The settings that decide what stands in a shard; a change of one packs every batch anew."""

    classes: tuple[str, ...]
    validation_share: float
    test_share: float
    max_image_pixels: int
    shard_bytes: int
    packing: int = PACKING

    @property
    def digest(self) -> str:
        """Twelve digits that change with any rule."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


def rules_of(settings: DataSettings) -> Rules:
    """Return the rules in the settings."""
    return Rules(
        classes=settings.classes,
        validation_share=settings.validation_share,
        test_share=settings.test_share,
        max_image_pixels=settings.max_image_pixels,
        shard_bytes=settings.shard_bytes,
    )


def assign_split(sha256: str, published: Split | None, publishes: Collection[Split], rules: Rules) -> Split:
    """Return the split of the image with this SHA-256 (hex).

    A published validation or test image stays there. From the others a share is drawn for each split that the
    source does not publish: by the image alone, so that growing data moves no image from one split to another.
    """
    if published in (Split.VALIDATION, Split.TEST):
        return published
    test_share = 0.0 if Split.TEST in publishes else rules.test_share
    validation_share = 0.0 if Split.VALIDATION in publishes else rules.validation_share
    draw = int(sha256[:16], 16) / 2**64
    if draw < test_share:
        return Split.TEST
    return Split.VALIDATION if draw < test_share + validation_share else Split.TRAIN
