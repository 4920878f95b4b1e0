"""What is trained: Fashion-MNIST as the project has it, and the project's recipe."""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.data.dataset import PixelMap
from tasks.data.pixels import build_pixels
from tasks.data.prepare_dataset import prepare_dataset
from tasks.settings import Settings
from tasks.training.spec import Execution, Recipe, TrainingSpec


def prepare_pixels(settings: Settings) -> PixelMap:
    """Return the images as uint8 maps, fetched, packed and unpacked where they are not yet."""

    def report(stage: str, done: int, total: int) -> None:
        if done == total:
            print(f"data: {stage}", file=sys.stderr)

    dataset = prepare_dataset(settings.data, root=settings.root, home=settings.home, report=report)
    model = settings.model
    return build_pixels(
        dataset, channels=model.channels, size_px=model.size_px, cache=settings.home / "cache", report=report
    )


def spec_of(settings: Settings, pixels: PixelMap, **recipe: Any) -> TrainingSpec:
    """Return the training of the project's settings, with some keys of its recipe replaced."""
    training = settings.training.model_dump()
    return TrainingSpec(
        pixels=str(pixels.folder),
        data_digest=pixels.digest,
        classes=pixels.classes,
        channels=pixels.channels,
        size_px=pixels.size_px,
        recipe=dataclasses.replace(Recipe(**pick(training, Recipe)), **recipe),
        seed=settings.training.seed,
        threads=settings.training.threads,
        device=settings.training.device,
        execution=Execution(**pick(training, Execution)),
    )


def pick(values: Mapping[str, Any], record: type) -> dict[str, Any]:
    """Return those of `values` that a dataclass has fields for."""
    return {field.name: values[field.name] for field in dataclasses.fields(record)}


def write_spec(spec: TrainingSpec, folder: Path) -> Path:
    """Write SPEC.json into `folder` and return its path."""
    path = folder / "spec.json"
    path.write_text(spec.to_json())
    return path
