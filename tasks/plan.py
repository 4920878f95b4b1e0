"""The plan of a retraining: which trainings, with which seeds, and the keys that tell whether they are known.

It knows no Prefect, so that `evergreen plan` need not wait for it.
"""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.data.dataset import PixelMap
from tasks.errors import ConfigError
from tasks.settings import Settings
from tasks.settings_training import TrainingSettings
from tasks.steps.evaluation import evaluation_key, retraining_key, scoring_code
from tasks.steps.key import StepKey
from tasks.steps.training import inputs_digest, training_key
from tasks.training.code import PROJECT
from tasks.training.machine import Machine
from tasks.training.spec import Execution, Recipe, TrainingSpec

if TYPE_CHECKING:
    from tasks.registry.tracking import Tracking  # imports MLflow, seconds

INPUTS_TAG = "evergreen.inputs"
SEED_TAG = "evergreen.seed"
STEP_KEY_TAG = "evergreen.step_key"
RETRAINING_TAG = "evergreen.retraining"

FinishedSeeds = Callable[[str], Collection[int]]  # the seeds with which a training's inputs were finished


@dataclass(frozen=True)
class TrainingPlan:
    """One training; `name` is its candidate's, "" where there are none, `attempt` what the base seed is raised by."""

    name: str
    spec: TrainingSpec
    key: StepKey
    attempt: int

    @property
    def title(self) -> str:
        """What people call it."""
        return self.name or self.spec.recipe.architecture

    @property
    def inputs(self) -> str:
        """The digest of what its attempts share."""
        return inputs_digest(self.key)


@dataclass(frozen=True)
class RetrainingPlan:
    """The trainings of one run, the key of the whole run, and what both rest on: lock, machine, the scoring code."""

    trainings: tuple[TrainingPlan, ...]
    key: StepKey
    lock: Path
    machine: Machine
    scoring_code: str
    is_known: bool = False  # a run with this key was finished before

    @property
    def has_candidates(self) -> bool:
        """Whether several trainings compete, or one has a name of its own."""
        return bool(self.trainings[0].name)


def plan_retraining(
    settings: Settings, pixels: PixelMap, *, machine: Machine, finished_seeds: FinishedSeeds, is_scheduled: bool
) -> RetrainingPlan:
    """Return the plan: a scheduled run takes each base seed, a run by hand the first one above that is not finished.

    Raises:
        ConfigError: a weights file cannot be read.
    """
    lock = lock_file(machine)
    taken: dict[str, set[int]] = {}
    trainings = []
    for name, training in named_trainings(settings):
        spec = spec_of(settings, training, pixels)
        base = training_key(spec, lock=lock, machine=machine)
        inputs = inputs_digest(base)
        used = taken.setdefault(inputs, set())
        attempt = 0 if is_scheduled else first_attempt(spec.seed, {*finished_seeds(inputs), *used})
        used.add(spec.seed + attempt)
        key = dataclasses.replace(base, parts={**base.parts, "seed": str(spec.seed + attempt)})
        trainings.append(TrainingPlan(name, dataclasses.replace(spec, seed=spec.seed + attempt), key, attempt))
    key = retraining_key(
        {training.name: training.key for training in trainings},
        gates=settings.gates.model_dump(),
        lock=lock,
        threads=settings.training.threads,
    )
    return RetrainingPlan(tuple(trainings), key, lock, machine, scoring_code())


def named_trainings(settings: Settings) -> list[tuple[str, TrainingSettings]]:
    """Return the training settings by candidate; those of `[training]`, named "", where there are no candidates."""
    named = [(candidate.name, candidate.over(settings.training)) for candidate in settings.candidates]
    return named or [("", settings.training)]


def first_attempt(base_seed: int, used: Collection[int]) -> int:
    """Return the smallest number whose seed, above the base, is not used."""
    attempt = 0
    while base_seed + attempt in used:
        attempt += 1
    return attempt


def seeds_in(tracking: "Tracking", experiment: str) -> FinishedSeeds:
    """Return the question to MLflow: with which seeds were these inputs finished?"""

    def finished_seeds(inputs: str) -> set[int]:
        found = tracking.find_finished(experiment, {INPUTS_TAG: inputs})
        return {int(tags[SEED_TAG]) for tags in found if SEED_TAG in tags}

    return finished_seeds


def is_finished(tracking: "Tracking", experiment: str, plan: RetrainingPlan) -> bool:
    """Whether a run with the plan's key was finished: its trainings judged with these gates."""
    return bool(tracking.find_finished(experiment, {RETRAINING_TAG: plan.key.digest}))


def best_of(figures: Sequence[tuple[float, float]]) -> int:
    """Return which of several trainings is best on validation, each given by its accuracy and its loss there.

    The higher accuracy wins, then the lower loss, then the earlier in the settings.
    """
    return min(range(len(figures)), key=lambda number: (-figures[number][0], figures[number][1]))


def key_of_evaluation(settings: Settings, pixels: PixelMap, plan: RetrainingPlan, weights_sha256: str) -> StepKey:
    """Return the key of the evaluation of weights that the plan's trainings came to."""
    return evaluation_key(
        weights_sha256,
        pixels,
        code=plan.scoring_code,
        lock=plan.lock,
        tolerance=settings.gates.max_prediction_error,
        threads=settings.training.threads,
    )


def spec_of(settings: Settings, training: TrainingSettings, pixels: PixelMap) -> TrainingSpec:
    """Return the spec of the first training with these settings; a weights file is relative to the project."""
    values = training.model_dump()
    if values["weights_file"]:
        values["weights_file"] = str(settings.root / values["weights_file"])
    return TrainingSpec(
        pixels=str(pixels.folder),
        data_digest=pixels.digest,
        classes=pixels.classes,
        channels=settings.model.channels,
        size_px=settings.model.size_px,
        recipe=Recipe(**{field.name: values[field.name] for field in dataclasses.fields(Recipe)}),
        seed=training.seed,
        threads=training.threads,
        device=training.device,
        execution=Execution(**{field.name: values[field.name] for field in dataclasses.fields(Execution)}),
    )


def lock_file(machine: Machine) -> Path:
    """Return the lock of this environment: the one for GPUs where torch was built with CUDA.

    Raises:
        ConfigError: the clone has none.
    """
    lock = PROJECT / "locks" / ("gpu.lock" if machine.is_cuda_build else "cpu.lock")
    if not lock.is_file():
        raise ConfigError(f"the dependency lock {lock} is missing: restore it from git")
    return lock
