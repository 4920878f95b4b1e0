from dataclasses import replace

import pytest

from tasks.data.dataset import Split
from tasks.data.rules import Rules, assign_split

TRAIN, VALIDATION, TEST = Split.TRAIN, Split.VALIDATION, Split.TEST
RULES = Rules(classes=(), validation_share=0.2, test_share=0.1, max_image_pixels=1, shard_bytes=1)
LOW, MIDDLE, HIGH = "0" * 64, "2" + "0" * 63, "f" * 64  # draws of 0, 0.125 and almost 1


@pytest.mark.parametrize(
    ("sha256", "published", "publishes", "split"),
    [
        (LOW, None, set(), TEST),
        (MIDDLE, None, set(), VALIDATION),
        (HIGH, None, set(), TRAIN),
        (HIGH, TEST, {TRAIN, TEST}, TEST),
        (LOW, TRAIN, {TRAIN, TEST}, VALIDATION),
        (MIDDLE, TRAIN, {TRAIN, TEST}, VALIDATION),
        (HIGH, TRAIN, {TRAIN, TEST}, TRAIN),
        (LOW, None, {TEST}, VALIDATION),
        (LOW, TRAIN, {TRAIN, VALIDATION, TEST}, TRAIN),
        (HIGH, VALIDATION, {TRAIN, VALIDATION}, VALIDATION),
        (LOW, TRAIN, {TRAIN, VALIDATION}, TEST),
        (MIDDLE, TRAIN, {TRAIN, VALIDATION}, TRAIN),
        (LOW, TRAIN, {TRAIN}, TEST),
    ],
    ids=[
        "nothing published: test",
        "nothing published: validation",
        "nothing published: train",
        "a published test image stays, whatever it draws",
        "no test is drawn beside a published one",
        "validation comes out of a published train",
        "train stays train",
        "unmarked images beside a published test set",
        "all published",
        "a published validation image stays",
        "train and validation published: test is drawn from train",
        "train and validation published: no validation is drawn",
        "train alone published: test is drawn from it",
    ],
)
def test_split_follows_the_image_and_its_source(sha256, published, publishes, split):
    assert assign_split(sha256, published, publishes, RULES) is split


def test_shares_are_met_over_many_images():
    draws = [f"{number:04x}" + "0" * 60 for number in range(1 << 16)]
    found = [assign_split(sha256, None, set(), RULES) for sha256 in draws]
    assert found.count(TEST) / len(found) == pytest.approx(0.1, abs=1e-4)
    assert found.count(VALIDATION) / len(found) == pytest.approx(0.2, abs=1e-4)


@pytest.mark.parametrize(
    "change",
    [{"classes": ("a",)}, {"validation_share": 0.3}, {"test_share": 0.3}, {"max_image_pixels": 2}, {"shard_bytes": 2}],
)
def test_every_rule_is_in_the_digest(change):
    assert replace(RULES, **change).digest != RULES.digest
