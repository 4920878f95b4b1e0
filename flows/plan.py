"""What a run would do: each step, known or to be made, and what changed. Nothing is packed, trained or started."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.foreseen import Foreseen, Foresight
from tasks.data.dataset import Dataset, PixelMap
from tasks.data.outlook import foresee_packing
from tasks.data.pixels import describe_pixels
from tasks.errors import RegistryError
from tasks.plan import FinishedSeeds, RetrainingPlan, is_finished, plan_retraining, seeds_in
from tasks.settings import Settings
from tasks.stack.services import answers
from tasks.training.machine import probe_machine

if TYPE_CHECKING:
    from tasks.registry.tracking import Tracking


@dataclasses.dataclass(frozen=True)
class Outlook:
    """All steps of a run, the seeds it would train with, and what it would come to."""

    steps: tuple[Foreseen, ...]
    seeds: str
    outcome: str

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield the outlook as labelled lines."""
        yield from (step.row for step in self.steps)
        yield "seed", self.seeds
        yield "a run", self.outcome

    def to_json(self) -> dict[str, Any]:
        """Return the outlook as `evergreen plan --json` prints it."""
        return dataclasses.asdict(self)


def foresee(settings: Settings, *, is_scheduled: bool) -> Outlook:
    """Return what a run with these settings would do.

    Raises:
        ConfigError, DataError: the run would stop with it before it trains.
    """
    packing = foresee_packing(settings.data, root=settings.root, home=settings.home)
    pixels = pixels_of(settings, packing.dataset)
    plan, seeds = plan_with_history(settings, pixels, is_scheduled=is_scheduled)
    steps = tuple(Foresight(settings, plan, packing, pixels).steps())
    if is_scheduled and plan.is_known:
        known = tuple(step if step.is_hit else as_finished(step) for step in steps)
        return Outlook(known, seeds, "would train nothing: nothing new")
    return Outlook(steps, seeds, "would make what is missing, and compare it with the champion")


def as_finished(step: Foreseen) -> Foreseen:
    """Return a step that is not kept here any more, but that MLflow knows as finished."""
    return Foreseen(step.step, True, step.key, ("finished by an earlier run",))


def pixels_of(settings: Settings, dataset: Dataset | None) -> PixelMap:
    """Return the pixel map that a run would use; one of nothing where its dataset is not known."""
    channels, size_px = settings.model.channels, settings.model.size_px
    if dataset is None:
        return PixelMap(Path(), "", (), channels, size_px)
    return describe_pixels(dataset, channels=channels, size_px=size_px, cache=settings.home / "cache")


def plan_with_history(settings: Settings, pixels: PixelMap, *, is_scheduled: bool) -> tuple[RetrainingPlan, str]:
    """Return the plan, and a sentence about its seeds; without MLflow they are those of the first attempt."""
    machine = probe_machine(device=settings.training.device, threads=settings.training.threads)

    def plan(finished_seeds: FinishedSeeds) -> RetrainingPlan:
        return plan_retraining(
            settings, pixels, machine=machine, finished_seeds=finished_seeds, is_scheduled=is_scheduled
        )

    try:
        tracking = reach_tracking(settings)
        found = plan(seeds_in(tracking, settings.model.name))
        is_known = is_finished(tracking, settings.model.name, found)
    except RegistryError as error:
        first = plan(lambda _: ())
        return first, f"{describe_seeds(first)}, for want of MLflow: {error}"
    return dataclasses.replace(found, is_known=is_known), describe_seeds(found)


def reach_tracking(settings: Settings) -> "Tracking":
    """Return the MLflow of the settings.

    Raises:
        RegistryError: it does not answer.
    """
    if settings.is_tracking_local and not answers(f"{settings.tracking_uri}/health"):
        raise RegistryError(f"nothing answers at {settings.tracking_uri}; `evergreen up` starts it")
    from tasks.registry.tracking import Tracking  # noqa: PLC0415  # imports MLflow, for which nobody waits in vain

    return Tracking(settings.tracking_uri)


def describe_seeds(plan: RetrainingPlan) -> str:
    """Return the seeds of all trainings, and the attempts they are."""
    return "; ".join(
        f"{training.name + ' ' if training.name else ''}{training.spec.seed}, attempt {training.attempt}"
        for training in plan.trainings
    )
