"""The inputs' key: it changes with whatever decides the weights, and with nothing else."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from tasks.errors import ConfigError
from tasks.training import inputs
from tasks.training.inputs import inputs_key
from tasks.training.spec import Recipe, TrainingSpec

LOCK = inputs.PROJECT / "locks" / "cpu.lock"


@pytest.mark.parametrize(
    "change",
    [
        {"data_digest": "e" * 64},
        {"channels": 3},
        {"size_px": 32},
        {"seed": 6},
        {"threads": 2},
        {"device": "auto"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_the_spec_changes_it(spec, change):
    assert inputs_key(replace(spec, **change), lock=LOCK) != inputs_key(spec, lock=LOCK)


def test_the_order_of_the_classes_is_in_it(spec):
    turned = replace(spec, classes=spec.classes[::-1])
    assert inputs_key(turned, lock=LOCK) != inputs_key(spec, lock=LOCK)


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe) if field.name != "weights_file"])
def test_a_change_of_the_recipe_changes_it(spec, name):
    value = getattr(spec.recipe, name)
    other = f"{value}x" if isinstance(value, str) else value + 1
    assert inputs_key(replace(spec, recipe=replace(spec.recipe, **{name: other})), lock=LOCK) != inputs_key(
        spec, lock=LOCK
    )


def with_weights(spec: TrainingSpec, path: Path) -> TrainingSpec:
    return replace(spec, recipe=replace(spec.recipe, weights_file=str(path)))


def test_a_weights_file_counts_by_its_content(spec, tmp_path):
    first, moved = tmp_path / "first.pt", tmp_path / "moved.pt"
    first.write_bytes(b"weights")
    moved.write_bytes(b"weights")
    before = inputs_key(with_weights(spec, first), lock=LOCK)
    assert before != inputs_key(spec, lock=LOCK)
    assert inputs_key(with_weights(spec, moved), lock=LOCK) == before
    first.write_bytes(b"Weights")
    assert inputs_key(with_weights(spec, first), lock=LOCK) != before


def test_a_weights_file_that_is_gone_is_named(spec, tmp_path):
    with pytest.raises(ConfigError, match=r"training.weights_file = '.*gone.pt' cannot be read: No such file"):
        inputs_key(with_weights(spec, tmp_path / "gone.pt"), lock=LOCK)


def test_lock_and_code_are_in_it_and_the_pixels_folder_is_not(spec, tmp_path, monkeypatch):
    before = inputs_key(spec, lock=LOCK)
    assert inputs_key(replace(spec, pixels="/elsewhere"), lock=LOCK) == before
    (tmp_path / "other.lock").write_text("torch==0")
    assert inputs_key(spec, lock=tmp_path / "other.lock") != before
    monkeypatch.setattr(inputs, "CODE", inputs.CODE[:1])
    assert inputs_key(spec, lock=LOCK) != before
