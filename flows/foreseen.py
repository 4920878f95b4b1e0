"""The steps of a run one by one: whether each is known, by its key, and what changed since the last of its kind."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.dataset import PixelMap
from tasks.data.outlook import PackingOutlook
from tasks.plan import RetrainingPlan, TrainingPlan, best_of, key_of_evaluation
from tasks.settings import Settings
from tasks.steps import evaluation, training
from tasks.steps.key import SHOWN_DIGITS, StepKey, changed_parts
from tasks.steps.store import StepRecord, StepStore

CHECKPOINTS = "checkpoints/*.checkpoint"  # in a training's folder, each named by its step
OF_THE_DATA = ("data", "classes")  # parts of a key that nobody knows before the data is packed


@dataclass(frozen=True)
class Foreseen:
    """A step that is known, or will be made and why; `key` is "" where it depends on a step that will be made."""

    step: str
    is_hit: bool
    key: str
    why: tuple[str, ...]

    @property
    def row(self) -> tuple[str, str]:
        """The step as a labelled line."""
        return self.step, f"{'hit ' if self.is_hit else 'miss'}  {self.key:<{SHOWN_DIGITS}}  {'; '.join(self.why)}"


@dataclass(frozen=True)
class Foresight:
    """What is known before a run: its settings and plan, and the data as far as it is packed."""

    settings: Settings
    plan: RetrainingPlan
    packing: PackingOutlook
    pixels: PixelMap

    @property
    def store(self) -> StepStore:
        """The steps that were made."""
        return StepStore(self.settings.home)

    def steps(self) -> Iterator[Foreseen]:
        """Yield every step of the run, in its order."""
        yield self.data_step()
        yield self.pixels_step()
        yield from map(self.training_step, self.plan.trainings)
        yield self.evaluation_step()
        yield self.registration_step()

    def data_step(self) -> Foreseen:
        """Return whether the dataset is packed."""
        dataset = self.packing.dataset
        if dataset is None:
            return Foreseen("data", False, "", self.packing.changes)
        return Foreseen("data", True, dataset.digest[:SHOWN_DIGITS], (f"{dataset.size:,} images, unchanged",))

    def pixels_step(self) -> Foreseen:
        """Return whether the images are unpacked in the model's size."""
        if self.packing.dataset is None:
            return Foreseen("pixels", False, "", self.data_changes)
        _, variant, shape = self.pixels.folder.name.split("-")
        return Foreseen("pixels", self.pixels.folder.is_dir(), variant, (shape,))

    def training_step(self, planned: TrainingPlan) -> Foreseen:
        """Return whether a training is known, and else what changed and where it would go on."""
        name = f"train {planned.name}" if planned.name else "train"
        if self.store.find(planned.key) is not None:
            return Foreseen(name, True, planned.key.digest[:SHOWN_DIGITS], ())
        resumed = tuple(self.resumes(planned))
        last = self.store.latest(training.STEP, candidate=planned.name)
        return self.missing(name, planned.key, last, first=resumed)

    def evaluation_step(self) -> Foreseen:
        """Return whether the model that the trainings lead to is evaluated."""
        records = [self.store.find(planned.key) for planned in self.plan.trainings]
        results = [record.result for record in records if record is not None]
        if len(results) < len(records):
            return Foreseen("evaluate", False, "", ("of a model that is to be trained",))
        key = key_of_evaluation(self.settings, self.pixels, self.plan, weights_of_best(results))
        if self.store.find(key) is not None:
            return Foreseen("evaluate", True, key.digest[:SHOWN_DIGITS], ())
        return self.missing("evaluate", key, self.store.latest(evaluation.STEP))

    def registration_step(self) -> Foreseen:
        """Return whether the model was judged and registered."""
        if self.plan.is_known:
            return Foreseen("register", True, self.plan.key.digest[:SHOWN_DIGITS], ())
        return self.missing("register", self.plan.key, self.store.latest(evaluation.REGISTRATION))

    def missing(self, name: str, key: StepKey, last: StepRecord | None, first: tuple[str, ...] = ()) -> Foreseen:
        """Return a step that will be made, because of what changed since `last`."""
        if self.packing.dataset is None:
            old = known_without_data(last.parts) if last else {}
            new = known_without_data(key.parts) if last else {}
            return Foreseen(name, False, "", (*self.data_changes, *changed_parts(old, new)))
        why = changed_parts(last.parts, key.parts) if last else ["never made here"]
        return Foreseen(name, False, key.digest[:SHOWN_DIGITS], (*first, *why))

    @property
    def data_changes(self) -> tuple[str, ...]:
        """Why the data is packed, as it stands with the steps that use it."""
        return tuple(f"data: {change}" for change in self.packing.changes)

    def resumes(self, planned: TrainingPlan) -> Iterator[str]:
        """Yield where a training that was cut short goes on, if one was."""
        if self.packing.dataset is None:
            return
        reached = newest_checkpoint(self.store.folder(planned.key))
        if reached:
            recipe = planned.spec.recipe
            total = recipe.epochs * (sum(self.packing.dataset.counts["train"]) // recipe.batch_size)
            yield f"resumes at step {reached:,} of {total:,}"


def known_without_data(parts: Mapping[str, str]) -> dict[str, str]:
    """Return the parts of a key that do not depend on the dataset."""
    return {
        name: value
        for name, value in parts.items()
        if name not in OF_THE_DATA and not name.startswith(evaluation.CANDIDATE)
    }


def newest_checkpoint(folder: Path) -> int:
    """Return the step of the newest checkpoint in a training's folder, 0 where there is none."""
    return max((int(path.stem) for path in folder.glob(CHECKPOINTS) if path.stem.isdigit()), default=0)


def weights_of_best(results: list[Mapping[str, Any]]) -> str:
    """Return the SHA-256 of the weights that the best of finished trainings came to."""
    best = best_of([(result["validation_accuracy"], result["validation_loss"]) for result in results])
    return str(results[best]["weights_sha256"])
