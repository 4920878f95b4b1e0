from pathlib import Path

import pytest

from tasks.data.checks import (
    NO_LABEL,
    UNKNOWN_LABEL,
    check_classes,
    check_quarantine,
    check_spellings,
    judge_label,
    order_classes,
)
from tasks.errors import DataError


@pytest.mark.parametrize(
    ("label", "classes", "reason"),
    [
        ("bag", (), None),
        ("bag", ("bag", "coat"), None),
        ("hat", ("bag", "coat"), UNKNOWN_LABEL),
        (None, (), NO_LABEL),
        ("  ", (), NO_LABEL),
    ],
)
def test_label(label, classes, reason):
    assert judge_label(label, classes) == reason


@pytest.mark.parametrize(
    ("counts", "classes", "message"),
    [
        ({"bag": 3, "coat": 2}, (), None),
        ({"Bag": 3, "bag ": 2}, (), "'Bag' (3 images) and 'bag ' (2 images)"),
        ({"ankle boot": 3, "Ankle-Boot": 1, "ankle_boot": 1}, (), "'Ankle-Boot' (1 images) and 'ankle_boot'"),
        ({"STRASSE": 3, "straße": 1}, (), "'straße' (1 images)"),
        ({"bag": 3}, ("Bag", "coat"), "'Bag' (0 images, listed in data.classes)"),
        ({"a-b": 3, "a b": 1}, ("a-b", "a b"), None),
    ],
    ids=["different", "case and space", "hyphen, underscore", "casefold", "against data.classes", "both are wanted"],
)
def test_spellings(counts, classes, message):
    if message is None:
        check_spellings(counts, classes, "source 'x'")
        return
    with pytest.raises(DataError, match="one label in two spellings") as caught:
        check_spellings(counts, classes, "source 'x'")
    assert message in str(caught.value)
    assert "list both in data.classes" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "orders", "found", "classes"),
    [
        (("b", "a"), [], {"a"}, ("b", "a")),
        ((), [], {"b", "a"}, ("a", "b")),
        ((), [], {"10", "9", "x"}, ("9", "10", "x")),
        ((), [("shirt", "bag", "gone")], {"bag", "shirt", "ant"}, ("shirt", "bag", "ant")),
    ],
    ids=["given", "sorted", "numbers by value", "the source's own order first"],
)
def test_class_order(given, orders, found, classes):
    assert order_classes(given, orders, found) == classes


@pytest.mark.parametrize(("n_bad", "stops"), [(0, False), (2, False), (3, True)])
def test_quarantine_limit(n_bad, stops):
    def check() -> None:
        check_quarantine({"empty file": n_bad}, 100, max_share=0.02, source="x", file=Path("q.jsonl"))

    if not stops:
        check()
        return
    with pytest.raises(DataError, match=r"'x': 3 of 100 images \(3.0%\).*2.0%: empty file 3.*q\.jsonl"):
        check()


def test_a_source_without_images_stops():
    with pytest.raises(DataError, match="'x' holds no images"):
        check_quarantine({}, 0, max_share=1.0, source="x", file=Path("q.jsonl"))


@pytest.mark.parametrize(
    ("classes", "counts", "message"),
    [
        (("a", "b"), {"train": (5, 5), "validation": (1, 1), "test": (1, 1)}, None),
        (("a",), {"train": (5,), "validation": (1,), "test": (1,)}, "found 1 class"),
        (("a", "b"), {"train": (5, 4), "validation": (1, 1), "test": (1, 1)}, "fewer than 5 training images: 'b' 4"),
        (("a", "b"), {"train": (5, 0), "validation": (1, 1), "test": (1, 1)}, "'b' 0"),
        (("a", "b"), {"train": (5, 5), "validation": (0, 0), "test": (1, 1)}, "no image is in validation"),
        (("a", "b"), {"train": (5, 5), "validation": (1, 1), "test": (0, 0)}, "no image is in test"),
    ],
    ids=["good", "one class", "too few", "none", "no validation", "no test"],
)
def test_classes(classes, counts, message):
    if message is None:
        check_classes(classes, counts, min_per_class=5)
        return
    with pytest.raises(DataError, match=message):
        check_classes(classes, counts, min_per_class=5)
