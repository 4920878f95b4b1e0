"""Checks before anything trains: what puts a row into quarantine and what stops the run. Pure.

A bad row is left out, named in the quarantine file and counted; too many of them, or a fault of the whole
dataset, is a `DataError`.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tasks.data.dataset import Split
from tasks.errors import DataError

EMPTY_FILE = "empty file"
NO_LABEL = "no label"
UNKNOWN_LABEL = "unknown label"
CONFLICT = "same image under different labels"
TOO_LARGE = "too many pixels"


def judge_label(label: str | None, classes: Collection[str]) -> str | None:
    """Return why a row with this label cannot be used, or None; no `classes` means any label is one."""
    if label is None or not label.strip():
        return NO_LABEL
    return UNKNOWN_LABEL if classes and label not in classes else None


def image_reason(message: str) -> str:
    """Return the reason to count an undecodable image under: the message of `decode_image` without its values."""
    head, colon, _ = message.partition(":")
    return head.partition(" (")[0] if colon else TOO_LARGE


def order_classes(given: Sequence[str], orders: Sequence[Sequence[str]], found: Collection[str]) -> tuple[str, ...]:
    """Return the classes: `given`, else those found, in their sources' own order first, then sorted."""
    if given:
        return tuple(given)
    ordered = dict.fromkeys(label for order in orders for label in order if label in found)
    rest = sorted(set(found) - set(ordered), key=_by_number_or_text)
    return (*ordered, *rest)


def check_spellings(counts: Mapping[str, int], classes: Collection[str], where: str) -> None:
    """Refuse labels that differ in case, spaces, hyphens or underscores alone; `counts` has the images of each.

    Raises:
        DataError: two spellings of one label, with their counts.
    """
    groups: dict[str, list[str]] = {}
    for label in dict.fromkeys([*counts, *classes]):
        groups.setdefault(plain_spelling(label), []).append(label)
    doubtful = [group for group in groups.values() if len(group) > 1 and not set(group) <= set(classes)]
    if doubtful:
        named = "; ".join(" and ".join(_counted(label, counts, classes) for label in group) for group in doubtful)
        raise DataError(
            f"{where}: one label in two spellings: {named}. Rename one of them; "
            "if they are different classes, list both in data.classes"
        )


def plain_spelling(label: str) -> str:
    """Return a label without what people write differently: case, spaces, hyphens, underscores."""
    return re.sub(r"[\s_-]+", " ", label).strip().casefold()


def check_quarantine(quarantined: Mapping[str, int], n_rows: int, *, max_share: float, source: str, file: Path) -> None:
    """Stop when more than `max_share` of a source's `n_rows` (good and bad ones) are bad.

    Raises:
        DataError: with the counts by reason and the quarantine file.
    """
    n_bad = sum(quarantined.values())
    if n_rows == 0:
        raise DataError(f"source {source!r} holds no images")
    if n_bad > max_share * n_rows or n_bad == n_rows:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(quarantined.items()))
        raise DataError(
            f"source {source!r}: {n_bad} of {n_rows} images ({n_bad / n_rows:.1%}) cannot be used, the limit is "
            f"{max_share:.1%}: {reasons}. Each is named in {file}; mend them, or raise data.max_quarantined_share"
        )


def check_classes(classes: Sequence[str], counts: Mapping[str, Sequence[int]], *, min_per_class: int) -> None:
    """Stop when there is nothing to tell apart, too little to learn from, or nothing to judge by.

    Raises:
        DataError: fewer than two classes, a class with too few training images, or an empty split.
    """
    if len(classes) < 2:
        raise DataError(f"found {len(classes)} class ({', '.join(classes)}); a classifier needs at least two")
    train = counts[Split.TRAIN.title]
    few = [f"{name!r} {count}" for name, count in zip(classes, train, strict=True) if count < min_per_class]
    if few:
        raise DataError(
            f"classes with fewer than {min_per_class} training images: {', '.join(few)}. Add images, "
            "leave the class out, or lower data.min_images_per_class"
        )
    for split in (Split.VALIDATION, Split.TEST):
        if sum(counts[split.title]) == 0:
            raise DataError(
                f"no image is in {split.title}: add images, or raise data.{split.title}_share "
                f"({sum(train)} images are in train)"
            )


def _counted(label: str, counts: Mapping[str, int], classes: Collection[str]) -> str:
    listed = ", listed in data.classes" if label in classes else ""
    return f"{label!r} ({counts.get(label, 0)} images{listed})"


def _by_number_or_text(label: str) -> tuple[int, int, str]:
    is_number = label.isascii() and label.isdigit()
    return (0, int(label), label) if is_number else (1, 0, label)
