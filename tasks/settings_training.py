"""The settings of a training, and of the candidates that differ from it."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, create_model

from tasks.settings_keys import Positive, Section

NOT_OF_A_CANDIDATE = ("threads", "device", "checkpoint_steps", "loader_workers", "max_resident_bytes")


class TrainingSettings(Section):
    """The recipe: part of the determinism contract, key by key."""

    architecture: str
    weights_file: str
    epochs: Positive
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    flip: bool
    shift_px: Annotated[int, Field(ge=0)]
    rotate_degrees: Annotated[float, Field(ge=0, le=180)]
    erase_px: Annotated[int, Field(ge=0)]
    brightness: Annotated[float, Field(ge=0, lt=1)]
    contrast: Annotated[float, Field(ge=0, lt=1)]
    class_balance: Literal["none", "weights", "sampler"]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    threads: Positive
    device: Literal["auto", "cpu", "cuda"]
    checkpoint_steps: Positive
    loader_workers: Positive
    max_resident_bytes: Annotated[int, Field(ge=0)]


class NamedCandidate(Section):
    """One training of several; what it does not state is as in `[training]`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=50)]

    def over(self, training: TrainingSettings) -> TrainingSettings:
        """Return the training settings of this candidate."""
        return training.model_copy(update=self.model_dump(exclude={"name"}, exclude_none=True))


if TYPE_CHECKING:

    class CandidateSettings(NamedCandidate):
        """A candidate with those keys of `[training]` that it states."""

else:
    CandidateSettings = create_model(
        "CandidateSettings",
        __base__=NamedCandidate,
        **{
            name: (field.rebuild_annotation() | None, None)
            for name, field in TrainingSettings.model_fields.items()
            if name not in NOT_OF_A_CANDIDATE
        },
    )


def find_twins(training: TrainingSettings, candidates: Sequence[NamedCandidate]) -> Iterator[str]:
    """Yield a sentence for each two candidates that have one name, or are the same training."""
    for first, second in combinations(candidates, 2):
        if first.name == second.name:
            yield f"candidates: two are called {first.name!r}: give one of them another name"
        elif first.over(training) == second.over(training):
            yield (
                f"candidates: {first.name!r} and {second.name!r} are the same training: "
                "give one of them another recipe or seed"
            )
