"""A training's key: it changes with whatever decides the weights, and with nothing else."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from tasks.errors import ConfigError
from tasks.steps import training
from tasks.steps.training import inputs_digest, training_key
from tasks.training.machine import Machine
from tasks.training.spec import Execution, Recipe, TrainingSpec
from tests.steps.conftest import LOCK, MACHINE


def key_of(spec: TrainingSpec, *, lock: Path = LOCK, machine: Machine = MACHINE):
    return training_key(spec, lock=lock, machine=machine)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"data_digest": "e" * 64}, "data"),
        ({"classes": ("coat", "bag")}, "classes"),
        ({"channels": 3}, "channels"),
        ({"size_px": 32}, "size_px"),
        ({"seed": 6}, "seed"),
        ({"threads": 3}, "threads"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_change_of_the_spec_changes_one_part(spec, change, part):
    assert differing(key_of(spec), key_of(replace(spec, **change))) == {part}


def differing(one, other) -> set[str]:
    assert (one.digest == other.digest) == (one == other)
    assert set(one.parts) == set(other.parts)
    return {name for name in one.parts if one.parts[name] != other.parts[name]}


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe) if field.name != "weights_file"])
def test_a_change_of_the_recipe_changes_it(spec, name):
    value = getattr(spec.recipe, name)
    other = f"{value}x" if isinstance(value, str) else not value if isinstance(value, bool) else value + 1
    changed = replace(spec, recipe=replace(spec.recipe, **{name: other}))
    assert differing(key_of(spec), key_of(changed)) == {f"training.{name}"}


def with_weights(spec: TrainingSpec, path: Path) -> TrainingSpec:
    return replace(spec, recipe=replace(spec.recipe, weights_file=str(path)))


def test_a_weights_file_counts_by_its_content(spec, tmp_path):
    first, moved = tmp_path / "first.pt", tmp_path / "moved.pt"
    first.write_bytes(b"weights")
    moved.write_bytes(b"weights")
    before = key_of(with_weights(spec, first))
    assert differing(before, key_of(spec)) == {"weights_file"}
    assert key_of(with_weights(spec, moved)) == before
    first.write_bytes(b"Weights")
    assert differing(before, key_of(with_weights(spec, first))) == {"weights_file"}


def test_a_weights_file_that_is_gone_is_named(spec, tmp_path):
    with pytest.raises(ConfigError, match=r"training.weights_file = '.*gone.pt' cannot be read: No such file"):
        key_of(with_weights(spec, tmp_path / "gone.pt"))


def test_lock_code_and_machine_are_in_it(spec, tmp_path, monkeypatch):
    before = key_of(spec)
    other_lock = tmp_path / "other.lock"
    other_lock.write_text("torch==0")
    assert differing(before, key_of(spec, lock=other_lock)) == {"lock"}
    faster = replace(MACHINE, hardware={**MACHINE.hardware, "instructions": "AVX512"})
    assert differing(before, key_of(spec, machine=faster)) == {"hardware.instructions"}
    newer = replace(MACHINE, versions={**MACHINE.versions, "torch": "2.14.0"})
    assert differing(before, key_of(spec, machine=newer)) == {"version.torch"}
    monkeypatch.setattr(training, "TRAINER", "tasks.errors")
    assert differing(before, key_of(spec)) == {"code"}
    monkeypatch.setattr(training, "makers_digest", lambda: "f" * 64)
    assert differing(before, key_of(spec)) == {"code", "code.pixels"}


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": "/elsewhere"},
        {"execution": Execution(checkpoint_steps=1, loader_workers=9, max_resident_bytes=0)},
        {"device": "cpu"},
    ],
    ids=["another folder", "carried out otherwise", "what became of auto"],
)
def test_what_changes_no_bit_is_not_in_it(spec, change):
    assert key_of(replace(spec, **change)) == key_of(spec)


def test_attempts_share_their_inputs(spec):
    first, second = key_of(spec), key_of(replace(spec, seed=spec.seed + 1))
    assert inputs_digest(first) == inputs_digest(second) != first.digest
    assert inputs_digest(key_of(replace(spec, threads=3))) != inputs_digest(first)
