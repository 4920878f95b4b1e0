"""What decides the bits is in a training's identity, and what does not is not."""

import json
from dataclasses import replace

import pytest

from serving.bundle.contract import file_sha256
from tasks.errors import ConfigError
from tasks.steps.training import training_key
from tasks.training import identity
from tasks.training.identity import differences, digest_of, identity_of
from tasks.training.machine import Machine
from tests.conftest import ROOT

HARDWARE, VERSIONS = {"device": "cpu", "threads": "1"}, {"torch": "2.13.0"}
PARTS = ("recipe", "execution")


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"seed": 6}, "seed: 5 -> 6"),
        ({"data_digest": "e" * 64}, f'data_digest: "{"d" * 64}" -> "{"e" * 64}"'),
        ({"size_px": 32}, "size_px: 28 -> 32"),
        ({"threads": 2}, "threads: 1 -> 2"),
        ({"epochs": 3}, "training.epochs: 2 -> 3"),
        ({"flip": False}, "training.flip: true -> false"),
        ({"pixels": "/elsewhere"}, ""),
        ({"device": "auto"}, ""),
        ({"checkpoint_steps": 1, "loader_workers": 7, "max_resident_bytes": 0}, ""),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_of_a_spec_counts(spec, changes, difference):
    parts = {
        name: {key: value for key, value in changes.items() if hasattr(getattr(spec, name), key)} for name in PARTS
    }
    own = {key: value for key, value in changes.items() if not any(key in part for part in parts.values())}
    other = replace(spec, **own, **{name: replace(getattr(spec, name), **part) for name, part in parts.items()})
    first, second = (identity_of(one, HARDWARE, VERSIONS) for one in (spec, other))
    assert differences(first, second) == difference
    assert (digest_of(first) == digest_of(second)) == (difference == "")


def test_hardware_and_versions_count(spec):
    first = identity_of(spec, HARDWARE, VERSIONS)
    second = identity_of(spec, {**HARDWARE, "device": "cuda", "gpu": "H200"}, {"torch": "2.12.0"})
    assert differences(first, second) == (
        'hardware.device: "cpu" -> "cuda"; hardware.gpu: nothing -> "H200"; version.torch: "2.13.0" -> "2.12.0"'
    )


def test_a_weights_file_counts_by_its_content(spec, tmp_path):
    files = [tmp_path / "one.pt", tmp_path / "two.pt"]
    for path in files:
        path.write_bytes(b"weights")
    specs = [replace(spec, recipe=replace(spec.recipe, weights_file=str(path))) for path in files]
    first, second = (identity_of(one, HARDWARE, VERSIONS) for one in specs)
    assert first == second
    assert file_sha256(files[0]) in first["training.weights_file"]
    files[1].write_bytes(b"others")
    assert identity_of(specs[1], HARDWARE, VERSIONS) != first
    files[1].unlink()
    with pytest.raises(ConfigError, match=r"weights_file = '.*two.pt' cannot be read: No such file"):
        identity_of(specs[1], HARDWARE, VERSIONS)


def test_the_code_counts(spec, monkeypatch):
    before = identity_of(spec, HARDWARE, VERSIONS)
    assert len(before["code"]) == 66  # a SHA-256 in quotes
    monkeypatch.setattr(identity, "TRAINER", "tasks.training.spec")
    after = identity_of(spec, HARDWARE, VERSIONS)
    assert [name for name in before if before[name] != after[name]] == ["code"]


def test_the_step_of_a_training_has_the_same_code(spec):
    machine = Machine(HARDWARE, VERSIONS)
    key = training_key(spec, lock=ROOT / "locks" / "cpu.lock", machine=machine)
    assert json.dumps(key.parts["code"]) == identity_of(spec, HARDWARE, VERSIONS)["code"]
