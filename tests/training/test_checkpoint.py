"""A checkpoint goes on to the same bits, dropout and all; a damaged or foreign one is none; writing stops nothing."""

import dataclasses
import errno
import math
import os
from dataclasses import replace

import pytest
import torch
from torch import nn

from tasks.training import checkpoint_writer
from tasks.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    file_of,
    read_checkpoint,
    tensors_of,
    write_checkpoint,
)
from tasks.training.checkpoint_writer import CheckpointWriter, NotFiniteError
from tasks.training.network import Classifier
from tasks.training.step import Stepper

TRAINING = "t" * 64
STEPS = 6


class Dropping(nn.Module):
    """Features with dropout, which draws from torch's generator at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images).amax((2, 3))


@pytest.fixture
def make_stepper(spec):
    def make(seed: int) -> Stepper:
        torch.manual_seed(seed)
        classifier = Classifier(Dropping(), 8, len(spec.classes), 1).to(memory_format=torch.channels_last)
        classifier.train()
        return Stepper(classifier, spec, steps=STEPS)

    return make


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (STEPS, 16, 1, 12, 12), generator=generator, dtype=torch.uint8)
    return list(zip(images, torch.randint(0, 10, (STEPS, 16), generator=generator), strict=True))


def train(stepper: Stepper, batches) -> list[float]:
    return [float(stepper.step(*batch)) for batch in batches]


def checkpoint_of(stepper: Stepper, **changes) -> Checkpoint:
    values = {"seconds": 1.5, "losses": torch.tensor([2.0, 1.0]), "epochs": ({"event": "epoch", "epoch": 1},)}
    return Checkpoint(step=stepper.done, state=stepper.state(), **{**values, **changes})


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_from_a_file_it_goes_on_to_the_same_bits(make_stepper, batches, tmp_path, cut):
    whole = make_stepper(0)
    losses = train(whole, batches)

    first = make_stepper(0)
    assert train(first, batches[:cut]) == losses[:cut]
    path = file_of(tmp_path, cut)
    write_checkpoint(path, checkpoint_of(first), TRAINING)

    second = make_stepper(99)  # other weights, and another state of torch's generator
    found = read_checkpoint(path, TRAINING)
    second.load(found.state)
    assert second.done == cut
    assert train(second, batches[cut:]) == losses[cut:]
    pairs = list(zip(tensors_of(whole.state()), tensors_of(second.state()), strict=True))
    assert len(pairs) > 30
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_without_torchs_generator_dropout_would_tell(make_stepper, batches):
    """What the test above relies on: the network's bits depend on the generator's state."""
    first, second = make_stepper(0), make_stepper(0)
    torch.manual_seed(99)
    assert train(second, batches) != train(first, batches)


def test_all_of_it_comes_back(make_stepper, batches, tmp_path):
    stepper = make_stepper(0)
    train(stepper, batches[:2])
    path = file_of(tmp_path, 2)
    write_checkpoint(path, checkpoint_of(stepper), TRAINING)
    found = read_checkpoint(path, TRAINING)
    assert (found.step, found.seconds, found.epochs) == (2, 1.5, ({"event": "epoch", "epoch": 1},))
    assert torch.equal(found.losses, torch.tensor([2.0, 1.0]))
    assert found.is_finite()
    assert [path.name for path in tmp_path.iterdir()] == ["000000002.checkpoint"]


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda content: content[:-1], "is damaged: its [0-9,]+ bytes do not have the SHA-256 that they begin with"),
        (lambda content: content[:1000] + b"\x00" + content[1001:], "is damaged"),
        (lambda content: b"0" + content[1:], "is damaged"),
        (lambda content: b"", "is damaged: its 0 bytes"),
        (lambda content: b"x" * 200, "is damaged"),
    ],
    ids=["cut", "a byte", "the digest", "empty", "something else"],
)
def test_a_damaged_file_is_none(make_stepper, tmp_path, damage, text):
    path = file_of(tmp_path, 1)
    write_checkpoint(path, checkpoint_of(make_stepper(0)), TRAINING)
    content = path.read_bytes()
    assert content[1000:1001] != b"\x00"
    path.write_bytes(damage(content))
    with pytest.raises(CheckpointError, match=f"^{text}"):
        read_checkpoint(path, TRAINING)


def test_one_of_another_training_is_none(make_stepper, tmp_path):
    path = file_of(tmp_path, 1)
    write_checkpoint(path, checkpoint_of(make_stepper(0)), "another")
    with pytest.raises(CheckpointError, match=r"^is of another training$"):
        read_checkpoint(path, TRAINING)
    with pytest.raises(CheckpointError, match=r"^cannot be read: No such file"):
        read_checkpoint(file_of(tmp_path, 2), TRAINING)


def test_nothing_in_it_runs(make_stepper, tmp_path):
    path = file_of(tmp_path, 1)
    write_checkpoint(path, checkpoint_of(make_stepper(0), losses=nn.Linear(1, 1)), TRAINING)
    with pytest.raises(CheckpointError, match=r"^is no checkpoint: UnpicklingError"):
        read_checkpoint(path, TRAINING)


@pytest.fixture
def told():
    return []


@pytest.fixture
def writer(tmp_path, told):
    with CheckpointWriter(tmp_path, TRAINING, every_steps=2, report=told.append) as writer:
        yield writer


def test_it_holds_the_state_of_its_step_though_training_goes_on(make_stepper, batches, writer):
    stepper = make_stepper(0)
    train(stepper, batches[:2])
    then = [tensor.clone() for tensor in tensors_of(stepper.state())]
    writer.begin(checkpoint_of(stepper))
    train(stepper, batches[2:])
    writer.finish()
    found = tensors_of(read_checkpoint(file_of(writer.folder, 2), TRAINING).state)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, then, strict=True))


def test_the_last_two_are_kept(make_stepper, writer, told):
    whole = checkpoint_of(make_stepper(0))
    for step in (2, 4, 6, 1000):
        writer.begin(replace(whole, step=step))
    writer.finish()
    assert told == [{"event": "checkpoint", "step": step} for step in (2, 4, 6, 1000)]
    assert sorted(writer.folder.iterdir()) == [file_of(writer.folder, step) for step in (6, 1000)]
    assert writer.newest == 1000
    assert [step for step in range(1, 6) if writer.is_due(step)] == [2, 4]


def test_a_full_disk_is_told_and_the_one_before_kept(make_stepper, writer, told, monkeypatch):
    whole = checkpoint_of(make_stepper(0))
    writer.begin(replace(whole, step=2))
    writer.finish()

    def no_room(*given):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint_writer, "write_checkpoint", no_room)
    writer.begin(replace(whole, step=4))
    writer.finish()
    reason = f"No space left on device: {writer.folder}; the one before is kept, and the training goes on"
    assert told[1:] == [{"event": "checkpoint_failed", "step": 4, "reason": reason}]
    assert writer.newest == 2
    assert list(writer.folder.iterdir()) == [file_of(writer.folder, 2)]


def spoil_loss(stepper):
    return {"losses": torch.tensor([1.0, math.nan])}


def spoil_weight(stepper):
    with torch.no_grad():
        stepper.classifier.head.bias[3] = math.inf
    return {}


def spoil_average(stepper):
    stepper.averaged.head.bias[3] = math.nan
    return {}


@pytest.mark.parametrize("spoil", [spoil_loss, spoil_weight, spoil_average])
def test_a_state_that_is_not_finite_is_never_written(make_stepper, writer, told, spoil):
    stepper = make_stepper(0)
    changes = spoil(stepper)
    writer.begin(dataclasses.replace(checkpoint_of(stepper, **changes), step=2))
    with pytest.raises(NotFiniteError):
        writer.finish()
    assert told == []
    assert not writer.folder.exists()
