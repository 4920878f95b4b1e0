"""The offline gates: evidence and limits in, a verdict with its reason out.

Pure: the standard library only, no clock, disk, network or settings. `tasks.evaluation.compare` makes the
intervals, `tasks.evaluation.judge` joins both. No data is inconclusive, and a number that is not finite never passes.
"""

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """What a gate says: pass goes on, fail rejects, inconclusive means that the evidence does not decide."""

    PASS = "pass"  # noqa: S105 - a verdict, no secret
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class GateLimits:
    """The limits of all gates: fractions in [0, 1], `min_class_images` a count, `confidence` of one-sided bounds."""

    min_accuracy: float
    max_accuracy_drop: float
    min_class_recall: float
    min_class_images: int
    confidence: float


@dataclass(frozen=True)
class GateResult:
    """One gate's answer: `measured` is the point estimate (None without one), `reason` a sentence with the numbers."""

    name: str
    verdict: Verdict
    measured: float | None
    required: str
    reason: str


@dataclass(frozen=True)
class Interval:
    """An estimate from `n` images between its two one-sided confidence bounds, each at the stated confidence.

    `discordant` counts the images of a paired comparison that only one of the two models got right; None
    where nothing is paired.
    """

    estimate: float
    low: float
    high: float
    n: int
    discordant: int | None = None

    @property
    def is_measured(self) -> bool:
        """Whether it rests on data and has only finite numbers."""
        return self.n > 0 and all(map(math.isfinite, (self.estimate, self.low, self.high)))


def judge_floor(accuracy: Interval, *, min_accuracy: float) -> GateResult:
    """Judge the accuracy on the test set by its bounds: pass at or above the floor, fail wholly below it."""
    name, required = "accuracy", f"at least {min_accuracy:.4f}"
    if not accuracy.is_measured:
        return _unmeasured(name, required, accuracy)
    facts = f"{accuracy.estimate:.4f} on {accuracy.n} images"
    if accuracy.low >= min_accuracy:
        verdict, reason = Verdict.PASS, f"{facts}: at worst {accuracy.low:.4f}"
    elif accuracy.high < min_accuracy:
        verdict, reason = Verdict.FAIL, f"{facts}: at best {accuracy.high:.4f}, below the floor"
    else:
        span = f"{accuracy.low:.4f} to {accuracy.high:.4f}"
        verdict, reason = Verdict.INCONCLUSIVE, f"{facts}: {span} holds the floor; more test images would decide"
    return GateResult(name, verdict, accuracy.estimate, required, reason)


def judge_difference(difference: Interval, *, max_drop: float, is_data_changed: bool) -> GateResult:
    """Judge the paired accuracy difference, challenger - champion, a fraction, on the identical test images.

    Unchanged data: only a better model wins; "fail" keeps the champion and asks no question. Changed data: the
    challenger may be worse by less than `max_drop`.
    """
    name = "accuracy against the champion"
    required = f"above {-max_drop:+.4f}" if is_data_changed else "better: above +0.0000"
    if not difference.is_measured:
        return _unmeasured(name, required, difference)
    judge = _judge_not_worse if is_data_changed else _judge_better
    verdict, finding = judge(difference, max_drop)
    pairs = "" if difference.discordant is None else f", {difference.discordant} of them decided by one model only"
    reason = f"{finding}; difference {difference.estimate:+.4f} on {difference.n} images{pairs}"
    return GateResult(name, verdict, difference.estimate, required, reason)


def _judge_better(difference: Interval, _max_drop: float) -> tuple[Verdict, str]:
    if difference.low > 0:
        return Verdict.PASS, f"better than the champion: at worst {difference.low:+.4f}"
    return Verdict.FAIL, f"not shown to be better, the champion stays: at worst {difference.low:+.4f}"


def _judge_not_worse(difference: Interval, max_drop: float) -> tuple[Verdict, str]:
    if difference.low > -max_drop:
        return Verdict.PASS, f"not worse than the champion by {max_drop:.4f}: at worst {difference.low:+.4f}"
    if difference.high < -max_drop:
        return Verdict.FAIL, f"worse than the champion by more than {max_drop:.4f}: at best {difference.high:+.4f}"
    return Verdict.INCONCLUSIVE, f"{difference.low:+.4f} to {difference.high:+.4f} holds the limit {-max_drop:+.4f}"


def judge_classes(recalls: Mapping[str, Interval], *, min_recall: float, min_images: int) -> GateResult:
    """Judge the recall of every class by its bounds, which the caller has corrected for their number.

    One class below the floor fails the gate; a class with fewer than `min_images` test images is inconclusive.
    """
    name, required = "recall of each class", f"at least {min_recall:.4f}, on {min_images} images or more"
    classes = {Verdict.FAIL: list[str](), Verdict.INCONCLUSIVE: list[str](), Verdict.PASS: list[str]()}
    for label, recall in recalls.items():
        verdict, finding = _judge_class(recall, min_recall, min_images)
        classes[verdict].append(f"{label} {finding}")
    measured = [recall.estimate for recall in recalls.values() if recall.is_measured]
    worst = min(measured, default=None)
    if not recalls:
        return GateResult(name, Verdict.INCONCLUSIVE, None, required, "no class was measured")
    verdict = next(verdict for verdict, found in classes.items() if found)
    if verdict is not Verdict.PASS:
        return GateResult(name, verdict, worst, required, _join(classes[verdict]))
    weakest = min(recalls, key=lambda label: recalls[label].estimate)
    reason = f"{len(recalls)} classes; the weakest is {weakest} with {worst:.4f}, at worst {recalls[weakest].low:.4f}"
    return GateResult(name, verdict, worst, required, reason)


def _judge_class(recall: Interval, min_recall: float, min_images: int) -> tuple[Verdict, str]:
    if recall.n < min_images or not recall.is_measured:
        return Verdict.INCONCLUSIVE, f"has {recall.n} test images, {min_images} are needed"
    if recall.low >= min_recall:
        return Verdict.PASS, f"at worst {recall.low:.4f}"
    if recall.high < min_recall:
        return Verdict.FAIL, f"has recall {recall.estimate:.4f}, at best {recall.high:.4f}"
    return Verdict.INCONCLUSIVE, f"has recall {recall.estimate:.4f}, {recall.low:.4f} to {recall.high:.4f}"


def _join(findings: list[str], shown: int = 5) -> str:
    """Return the first findings as one sentence, and how many more there are."""
    more = f"; and {len(findings) - shown} more classes" if len(findings) > shown else ""
    return "; ".join(findings[:shown]) + more


def _unmeasured(name: str, required: str, interval: Interval) -> GateResult:
    measured = interval.estimate if interval.n > 0 and math.isfinite(interval.estimate) else None
    found = f"{interval.estimate} between {interval.low} and {interval.high}"
    reason = f"nothing to judge: {interval.n} images gave {found}"
    return GateResult(name, Verdict.INCONCLUSIVE, measured, required, reason)


def overall(results: Iterable[GateResult]) -> Verdict:
    """Return the worst verdict: fail, then inconclusive, then pass; without results inconclusive."""
    verdicts = {result.verdict for result in results}
    worst_first = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    return next((verdict for verdict in worst_first if verdict in verdicts), Verdict.INCONCLUSIVE)
