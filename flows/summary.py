"""What a retraining came to: what the terminal prints, and the flow's artifact shows."""

import textwrap
from dataclasses import dataclass

from tasks.candidates import Challenger, Outcome
from tasks.evaluate import Champion
from tasks.registry.record import ModelVersion
from tasks.release import ServedCheck
from tasks.settings import Settings

REASON_LETTERS = 100  # of why a candidate failed: all of it stands above the summary, and in MLflow


@dataclass(frozen=True)
class RunSummary:
    """The outcome of one retraining; `champion` is what is in production after it, `stages_s` seconds by stage."""

    outcome: str  # promoted; kept the champion; nothing released; registered, not released; nothing new
    reason: str
    data: str
    trained: ModelVersion | None
    trained_accuracy: float | None
    challenger: Challenger | None
    champion: Champion | None
    served: ServedCheck | None
    stages_s: dict[str, float]
    addresses: dict[str, str]

    def rows(self) -> list[tuple[str, str]]:
        """Return the summary as labelled lines."""
        rows = [("outcome", f"{self.outcome}: {self.reason}"), ("data", self.data)]
        if self.trained is not None and self.challenger is not None:
            training = describe_training(self.challenger)
            rows.append(
                ("trained", f"version {self.trained.version}, {training}, accuracy {self.trained_accuracy:.4f}")
            )
            if self.challenger.outcomes:
                rows.append(("candidates", describe_candidates(self.challenger)))
        if self.champion is not None:
            version = self.champion.version
            test = f"{self.champion.accuracy:.4f} on {len(self.champion.scores.ids):,} test images"
            rows.append(("in production", f"{version.name} version {version.version}, stage {version.stage}"))
            rows.append(("accuracy offline", test))
        if self.served is not None:
            rows.append(("through HTTP", describe_check(self.served)))
        rows.append(("time", ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in self.stages_s.items())))
        return rows + list(self.addresses.items())

    def to_markdown(self) -> str:
        """Return the summary as a Markdown table."""
        lines = ["| | |", "|---|---|", *(f"| {name} | {text.replace('|', '/')} |" for name, text in self.rows())]
        return "\n".join(lines) + "\n"


def describe_training(challenger: Challenger) -> str:
    """Return which training the version came from."""
    plan = challenger.training.plan
    seed = f"seed {plan.spec.seed} (attempt {plan.attempt} with these inputs)"
    return f"candidate {plan.name}, {seed}" if plan.name else seed


def describe_candidates(challenger: Challenger) -> str:
    """Return the candidates with their accuracy on validation, the best one marked."""
    return "; ".join(
        f"{describe_outcome(outcome)}{' (best)' if outcome.training is challenger.training else ''}"
        for outcome in challenger.outcomes
    )


def describe_outcome(outcome: Outcome) -> str:
    """Return what became of one candidate."""
    if outcome.model is None:
        return f"{outcome.name} failed: {textwrap.shorten(outcome.reason, REASON_LETTERS, placeholder=' ...')}"
    return f"{outcome.name} {outcome.model.validation_accuracy:.4f} on validation"


def describe_check(check: ServedCheck) -> str:
    """Return what the comparison of offline and served answers showed."""
    return (
        f"{check.equal_classes:,} of {check.images:,} classes as offline (accuracy {check.accuracy:.4f} on them), "
        f"probabilities within {check.worst_error:.1g} of {check.tolerance:g} allowed, by version {check.version}"
    )


def addresses(settings: Settings) -> dict[str, str]:
    """Return what a person can open after a run."""
    host, stack = settings.stack.host, settings.stack
    return {
        "predictions": f"{settings.router_url}/predict",
        "runs, in Prefect": f"http://{host}:{stack.prefect_port}/runs",
        "models, in MLflow": f"{settings.tracking_uri}/#/models/{settings.model.name}",
    }
