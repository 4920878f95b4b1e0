"""Copies of one image, in one source or across sources: which row stays, and why the others do not. Pure."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.data.dataset import Split


class Fate(enum.Enum):
    """What becomes of a row whose image stands there more than once."""

    KEPT = "kept"
    DUPLICATE = "duplicate"
    TEST_COPY = "copy of a test image"
    CONFLICT = "conflict"


@dataclass(frozen=True)
class Copy:
    """One row of an image; `is_published_test` rows are never altered or dropped: others report figures on them."""

    label: str
    split: Split
    is_published_test: bool


def judge_copies(copies: Sequence[Copy]) -> list[Fate]:
    """Return the fate of each row of one image, given in the order of the sources.

    Different labels: nobody knows which is right, so all go but published test rows. The same label: an image
    stays once, in test before validation before train, so that nothing that is tested was learned.
    """
    is_test_published = any(copy.is_published_test for copy in copies)
    has_conflict = len({copy.label for copy in copies}) > 1
    highest = max(copy.split for copy in copies)
    stays = next(index for index, copy in enumerate(copies) if copy.split is highest)
    fates = []
    for index, copy in enumerate(copies):
        if copy.is_published_test or (index == stays and not has_conflict and not is_test_published):
            fates.append(Fate.KEPT)
        elif has_conflict:
            fates.append(Fate.CONFLICT)
        elif highest is Split.TEST and copy.split is not Split.TEST:
            fates.append(Fate.TEST_COPY)
        else:
            fates.append(Fate.DUPLICATE)
    return fates
