"""Judging two models: by the identical images, by class names, with every gate able to stop a model."""

import dataclasses

import numpy as np
import pytest

from tasks.errors import DataError
from tasks.evaluation.gates import GateLimits, Verdict
from tasks.evaluation.judge import judge
from tasks.evaluation.scores import Scores

CLASSES = ("bag", "coat", "hat")
LIMITS = GateLimits(
    min_accuracy=0.8, max_accuracy_drop=0.01, min_class_recall=0.5, min_class_images=50, confidence=0.95
)
N = 3_000
LABELS = np.array([CLASSES[number % 3] for number in range(N)])
FLOOR, CLASSES_GATE, DIFFERENCE = "accuracy", "recall of each class", "accuracy against the champion"


def make_scores(wrong, classes=CLASSES, labels=LABELS):
    """Return scores that are right but for the images in `wrong`, where another known class is said."""
    columns = {name: column for column, name in enumerate(classes)}
    probabilities = np.full((len(labels), len(classes)), 0.1 / len(classes), dtype=np.float32)
    for row, label in enumerate(labels):
        column = columns.get(str(label), 0)
        probabilities[row, (column + 1) % len(classes) if row in wrong else column] += 0.9
    ids = np.array([f"{number * 7919 % 1_000_003:064d}" for number in range(len(labels))])
    return Scores(ids, labels, tuple(classes), probabilities, "test")


def verdicts(report):
    return {result.name: result.verdict for result in report.results}


def test_without_champion_only_floors_judge():
    report = judge(make_scores(range(150)), None, limits=LIMITS, is_data_changed=True)
    assert verdicts(report) == {FLOOR: Verdict.PASS, CLASSES_GATE: Verdict.PASS}
    assert report.verdict is Verdict.PASS
    assert report.rule.startswith("There is no champion yet")


@pytest.mark.parametrize(
    ("wrong", "champion_wrong", "is_data_changed", "verdict"),
    [
        (range(150), range(300), False, Verdict.PASS),
        (range(150), range(150), False, Verdict.FAIL),
        (range(300, 600), range(300), True, Verdict.INCONCLUSIVE),
        (range(150), range(150), True, Verdict.PASS),
        (range(300), range(150), True, Verdict.FAIL),
        (range(300), range(150), False, Verdict.FAIL),
    ],
    ids=[
        "unchanged, better",
        "unchanged, the same",
        "changed, many flips",
        "changed, the same",
        "changed, worse",
        "unchanged, worse",
    ],
)
def test_against_a_champion(wrong, champion_wrong, is_data_changed, verdict):
    report = judge(make_scores(wrong), make_scores(champion_wrong), limits=LIMITS, is_data_changed=is_data_changed)
    assert verdicts(report) == {FLOOR: Verdict.PASS, CLASSES_GATE: Verdict.PASS, DIFFERENCE: verdict}
    assert report.verdict is verdict
    assert ("data changed" in report.rule) == is_data_changed


def test_floors_stop_a_model_that_beats_its_champion():
    report = judge(make_scores(range(900)), make_scores(range(1200)), limits=LIMITS, is_data_changed=False)
    assert verdicts(report) == {FLOOR: Verdict.FAIL, CLASSES_GATE: Verdict.PASS, DIFFERENCE: Verdict.PASS}
    assert report.verdict is Verdict.FAIL


def test_collapsed_class_stops_a_model_that_is_better_overall():
    bags = set(np.flatnonzero(LABELS == "bag")[:600].tolist())
    limits = dataclasses.replace(LIMITS, min_accuracy=0.7)
    report = judge(make_scores(bags), make_scores(range(900)), limits=limits, is_data_changed=False)
    assert verdicts(report) == {FLOOR: Verdict.PASS, CLASSES_GATE: Verdict.FAIL, DIFFERENCE: Verdict.PASS}
    assert "bag has recall 0.4000" in report.reason


def test_order_of_images_does_not_matter():
    challenger, champion = make_scores(range(150)), make_scores(range(100, 400))
    order = np.random.default_rng(1).permutation(N)
    shuffled = Scores(
        champion.ids[order], champion.labels[order], champion.classes, champion.probabilities[order], champion.split
    )
    straight, mixed = (judge(challenger, other, limits=LIMITS, is_data_changed=True) for other in (champion, shuffled))
    assert straight == mixed


def test_champion_is_compared_by_class_names():
    """Both are always right, the champion with its classes in another order: no image is decided by one alone."""
    report = judge(
        make_scores(()), make_scores((), classes=("hat", "bag", "coat")), limits=LIMITS, is_data_changed=True
    )
    assert "0 of them decided by one model only" in report.results[-1].reason


def test_class_that_the_champion_does_not_know_counts_as_wrong_for_it():
    report = judge(make_scores(()), make_scores((), classes=("bag", "coat")), limits=LIMITS, is_data_changed=True)
    assert report.results[-1].measured == pytest.approx(1 / 3)
    assert report.results[-1].verdict is Verdict.PASS


def test_class_that_the_challenger_does_not_know_fails_it():
    report = judge(make_scores((), classes=("bag", "coat")), None, limits=LIMITS, is_data_changed=True)
    assert verdicts(report)[CLASSES_GATE] is Verdict.FAIL
    assert "hat has recall 0.0000" in report.reason


def test_nan_is_never_right():
    scores = make_scores(())
    scores.probabilities[:] = np.nan
    report = judge(scores, make_scores(range(600)), limits=LIMITS, is_data_changed=True)
    assert set(verdicts(report).values()) == {Verdict.FAIL}


def test_no_test_images_are_inconclusive():
    empty = Scores(LABELS[:0], LABELS[:0], CLASSES, np.empty((0, 3), dtype=np.float32), "test")
    for champion in (None, empty):
        for is_data_changed in (True, False):
            report = judge(empty, champion, limits=LIMITS, is_data_changed=is_data_changed)
            assert set(verdicts(report).values()) == {Verdict.INCONCLUSIVE}


def take(scores, rows):
    return Scores(scores.ids[rows], scores.labels[rows], scores.classes, scores.probabilities[rows], scores.split)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.arange(N - 1), "3000 images for the challenger, 2999 for the champion; 1 and 0 are in one set alone"),
        (np.r_[np.arange(N), 0], "first one image more than once"),
    ],
    ids=["one is missing", "one is there twice"],
)
def test_other_test_sets_are_refused(rows, message):
    with pytest.raises(DataError, match=message):
        judge(make_scores(()), take(make_scores(()), rows), limits=LIMITS, is_data_changed=True)


def test_other_labels_are_refused():
    labels = LABELS.copy()
    labels[0] = "coat"
    with pytest.raises(DataError, match=r"1 test images have another label for the champion, first 0+: 'bag'.*'coat'"):
        judge(make_scores(()), make_scores((), labels=labels), limits=LIMITS, is_data_changed=True)
