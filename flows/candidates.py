"""The flow within a retraining that trains candidates side by side."""

from typing import Any

from prefect import flow, unmapped
from prefect.task_runners import ThreadPoolTaskRunner

from tasks import progress
from tasks.candidates import Challenger, Outcome, choose_challenger, outcome_of, train_candidate
from tasks.places import Places, find_places
from tasks.prepare import Prepared
from tasks.retraining import OpenRetraining
from tasks.settings import Settings
from tasks.train import STAGE, train_model


def train_challenger(settings: Settings, prepared: Prepared, opened: OpenRetraining) -> Challenger:
    """Train the only training, or all candidates and choose the best of them.

    Raises:
        TrainingError: no model came out.
    """
    if not opened.plan.has_candidates:
        (only,) = opened.trainings
        return Challenger(only, train_model(settings, prepared, opened.plan, only))
    places = find_places(opened.plan.machine.hardware, threads=settings.training.threads)
    runner: Any = ThreadPoolTaskRunner(max_workers=places.count)  # its type fits no signature of Prefect's
    train = train_candidates.with_options(task_runner=runner)
    return choose_challenger(opened, train(settings, prepared, opened, places))


@flow(name="train candidates", description="Train every candidate, side by side.", validate_parameters=False)
def train_candidates(
    settings: Settings, prepared: Prepared, opened: OpenRetraining, places: Places
) -> tuple[Outcome, ...]:
    """Train every candidate, as many at once as there are places, and return what became of each.

    Raises:
        TrainingStopped: somebody asked to stop; every candidate left a checkpoint.
        DataError, RegistryError: what no candidate can do anything about; those that are trained are kept.
    """
    progress.update(STAGE, detail=f"{len(opened.trainings)} candidates, {places.count} at once")
    try:
        futures = train_candidate.map(
            opened.trainings, unmapped(settings), unmapped(prepared), unmapped(opened.plan), unmapped(places)
        )
        found = [future.result(raise_on_failure=False) for future in futures]
    except BaseException:  # an interrupt: the threads are waited for, so that each leaves its checkpoint
        places.stop()
        raise
    return tuple(map(outcome_of, opened.trainings, found))
