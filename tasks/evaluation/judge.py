"""From two models' scores on the identical test set to the report of all gates."""

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.evaluation.compare import class_recalls, paired_difference, proportion
from tasks.evaluation.gates import GateLimits, GateResult, judge_classes, judge_difference, judge_floor
from tasks.evaluation.report import GateReport
from tasks.evaluation.scores import Scores


def judge(challenger: Scores, champion: Scores | None, *, limits: GateLimits, is_data_changed: bool) -> GateReport:
    """Judge the challenger by its floors and, where there is a champion, by the paired difference to it.

    The models are compared by class names, so they may know different classes; a label that a model does not
    know counts as wrong.

    Raises:
        DataError: the two were not scored on the identical labelled images.
    """
    results = _judge_floors(challenger, limits)
    if champion is None:
        return GateReport(results, "There is no champion yet, so only the floors judge", limits)
    ours, theirs = _align(challenger, champion)
    difference = paired_difference(
        challenger.labels[ours],
        challenger.predicted[ours],
        champion.predicted[theirs],
        confidence=limits.confidence,
    )
    against = judge_difference(difference, max_drop=limits.max_accuracy_drop, is_data_changed=is_data_changed)
    rule = (
        f"The data changed, so the challenger may be worse by less than {limits.max_accuracy_drop:.4f}"
        if is_data_changed
        else "The data is unchanged, so the challenger must be better than the champion"
    )
    return GateReport((*results, against), rule, limits)


def _judge_floors(challenger: Scores, limits: GateLimits) -> tuple[GateResult, ...]:
    right = int(np.count_nonzero(challenger.predicted == challenger.labels))
    accuracy = proportion(right, len(challenger.ids), confidence=limits.confidence)
    classes = tuple(dict.fromkeys((*challenger.classes, *challenger.labels.tolist())))
    recalls = class_recalls(challenger.labels, challenger.predicted, classes, confidence=limits.confidence)
    return (
        judge_floor(accuracy, min_accuracy=limits.min_accuracy),
        judge_classes(recalls, min_recall=limits.min_class_recall, min_images=limits.min_class_images),
    )


def _align(challenger: Scores, champion: Scores) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the orders in which both models' scores are of the same images."""
    ours = np.lexsort((challenger.labels, challenger.ids))
    theirs = np.lexsort((champion.labels, champion.ids))
    if not np.array_equal(challenger.ids[ours], champion.ids[theirs]):
        raise DataError(_describe_difference(challenger, champion))
    relabelled = np.flatnonzero(challenger.labels[ours] != champion.labels[theirs])
    if len(relabelled):
        first = relabelled[0]
        label, other = str(challenger.labels[ours][first]), str(champion.labels[theirs][first])
        raise DataError(
            f"{len(relabelled)} test images have another label for the champion, first {challenger.ids[ours][first]}:"
            f" {label!r}, for the champion {other!r}; score the champion again on this dataset"
        )
    return ours, theirs


def _describe_difference(challenger: Scores, champion: Scores) -> str:
    only_ours = sorted(set(challenger.ids.tolist()) - set(champion.ids.tolist()))
    only_theirs = sorted(set(champion.ids.tolist()) - set(challenger.ids.tolist()))
    first = next(iter([*only_ours, *only_theirs]), "one image more than once")
    return (
        f"the test sets differ: {len(challenger.ids)} images for the challenger, {len(champion.ids)} for the champion;"
        f" {len(only_ours)} and {len(only_theirs)} are in one set alone, first {first};"
        " score the champion again on this dataset"
    )
