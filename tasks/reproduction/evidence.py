"""The record of all that was compared, and the verdict. Pure."""

import enum
from dataclasses import dataclass, field

from tasks.errors import EvergreenError
from tasks.reproduction.differences import NONE, Fact, environment_differences

REPRODUCED_TAG = "evergreen.reproduced"  # of the run and of the version: the last reproduction's verdict
SHOWN_DIGITS = 12  # of a commit


class Verdict(enum.StrEnum):
    """What a reproduction came to."""

    IDENTICAL = "identical"  # the same bits
    DIFFERENT = "different"  # other bits, in an environment that is equal
    ALTERED = "altered"  # a record, a file or an image is not what was recorded: it was named, and nothing trained
    ENVIRONMENT = "environment differs"  # other hardware or versions: predictions were compared, no more is said

    @property
    def exit_code(self) -> int:
        """What the command line ends with."""
        return {Verdict.IDENTICAL: 0, Verdict.ENVIRONMENT: 3}.get(self, 1)


@dataclass(frozen=True)
class Weights:
    """SHA-256 of the weights as registered and as made again, and of all tensors of the module in the bundle."""

    recorded: str
    remade: str
    module_recorded: str
    module_remade: str

    @property
    def is_same(self) -> bool:
        """Whether every bit of the weights is the same, and the registered bundle really holds them."""
        return self.recorded == self.remade and self.module_recorded == self.module_remade


@dataclass(frozen=True)
class PredictionComparison:
    """Two models on the same images: equal classes, the largest difference of a probability, and both accuracies.

    A probability that is not finite on one side only is a difference of 1.
    """

    images: int
    equal_classes: int
    largest_difference: float
    accuracy_recorded: float
    accuracy_remade: float

    def is_within(self, tolerance: float) -> bool:
        """Whether every class is the same and every probability within `tolerance`."""
        return self.equal_classes == self.images and self.largest_difference <= tolerance


@dataclass(frozen=True)
class Evidence:
    """One reproduction: of what, where, when, what was compared, and what it came to.

    `findings` are sentences about what was altered, `notes` others that a reader needs. `code_here` is the commit of
    the clone that did it. `tolerance` is how far a probability may be from the kept one.
    """

    model: str
    version: int
    digest: str
    run_id: str
    tracking: str
    at: str  # UTC, ISO 8601
    host: str
    code_here: str
    commit: str = ""
    has_patch: bool = False
    facts: tuple[Fact, ...] = ()
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    weights: Weights | None = None
    predictions: PredictionComparison | None = None
    tolerance: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """What all of it comes to."""
        if self.findings or self.weights is None:
            return Verdict.ALTERED
        if environment_differences(self.facts):
            return Verdict.ENVIRONMENT
        are_answers_same = self.predictions is None or self.predictions.is_within(self.tolerance)
        return Verdict.IDENTICAL if self.weights.is_same and are_answers_same else Verdict.DIFFERENT

    @property
    def reason(self) -> str:
        """The verdict in one sentence."""
        match self.verdict:
            case Verdict.ALTERED:
                trained = self.bits if self.weights else "Nothing was trained."
                return f"something is not as it was recorded. {trained}"
            case Verdict.ENVIRONMENT:
                names = ", ".join(fact.name for fact in environment_differences(self.facts))
                return f"nothing is called reproduced, because here differ: {names}. {self.bits} {self.answers}"
            case Verdict.IDENTICAL:
                return f"trained again from its records. {self.bits} {self.answers}"
            case Verdict.DIFFERENT:
                return f"in an environment that is equal, the records give another model. {self.bits} {self.answers}"

    @property
    def bits(self) -> str:
        """How the weights compare."""
        weights = self.weights
        if weights is None:
            return "There are no weights to compare."
        if weights.recorded != weights.remade:
            return "The weights differ."
        if weights.module_recorded != weights.module_remade:
            return "The weights are the recorded ones, but the registered bundle holds others."
        return "Every bit of the weights is the same."

    @property
    def answers(self) -> str:
        """How the predictions compare."""
        found = self.predictions
        if found is None:
            return "The run keeps no predictions to compare."
        apart = f"probabilities differ by {found.largest_difference:.2g} at most"
        return (
            f"{found.equal_classes:,} of {found.images:,} test images get the same class, "
            f"{apart if found.largest_difference else 'with the same probabilities'}; accuracy "
            f"{found.accuracy_remade:.4f}, recorded {found.accuracy_recorded:.4f}."
        )

    @property
    def tag(self) -> str:
        """The short form, as a tag of run and version."""
        return f"{self.verdict}, {self.at}, {self.host}, commit {self.commit[:SHOWN_DIGITS] or NONE}"

    @property
    def name(self) -> str:
        """What its files are called: the moment and the host."""
        return f"{self.at.replace(':', '').replace('-', '')}-{self.host}"


class NotReproducedError(EvergreenError):
    """A flow that found other bits or an altered record ends with it, so that it is seen to have failed."""

    def __init__(self, evidence: Evidence) -> None:
        super().__init__(evidence)
        self.evidence = evidence

    def __str__(self) -> str:
        about = f"version {self.evidence.version}: {self.evidence.verdict}: {self.evidence.reason}"
        return "\n".join([about, *self.evidence.findings])
