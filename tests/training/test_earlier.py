"""What stands in a training's folder is used only where it is this training's, and sound."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import torch

from serving.bundle.contract import file_sha256
from serving.bundle.durable import write_json
from tasks.errors import TrainingError
from tasks.training import earlier
from tasks.training.checkpoint import FOLDER, Checkpoint, file_of, write_checkpoint
from tasks.training.earlier import IDENTITY, alone_in, take_over
from tasks.training.identity import digest_of
from tasks.training.result import METRICS, MODULE, RESULT, WEIGHTS, weights_sha256
from tests.conftest import ROOT

MINE = {"seed": "5", "training.epochs": "2"}


@pytest.fixture
def events():
    return []


@pytest.fixture
def reasons(events):
    return lambda: [event["reason"] for event in events if event["event"] == "discarded"]


@pytest.fixture
def out(tmp_path):
    """A folder with two checkpoints of this training."""
    write_json(tmp_path / IDENTITY, MINE)
    for step in (5, 10):
        state = {"weights": torch.full((2,), float(step))}
        checkpoint = Checkpoint(step=step, seconds=1.0, losses=torch.zeros(1), epochs=(), state=state)
        write_checkpoint(file_of(tmp_path / FOLDER, step), checkpoint, digest_of(MINE))
    return tmp_path


def test_the_newest_checkpoint_is_taken(out, events):
    assert take_over(out, MINE, events.append).step == 10
    assert events == []


def test_an_empty_folder_has_nothing_to_tell(tmp_path, events):
    (tmp_path / "request.json").write_text("{}")
    assert take_over(tmp_path, MINE, events.append) is None
    assert events == []
    assert json.loads((tmp_path / IDENTITY).read_text()) == MINE


@pytest.mark.parametrize(("damaged", "taken"), [((10,), 5), ((5, 10), None)], ids=["the newest", "both"])
def test_damaged_checkpoints_are_passed_over_and_told(out, events, reasons, damaged, taken):
    for step in damaged:
        file_of(out / FOLDER, step).write_bytes(b"x")
    found = take_over(out, MINE, events.append)
    assert (found.step if found else None) == taken
    told = [reason.partition(" is damaged: its 1 bytes ")[0] for reason in reasons()]
    assert told == [f"the checkpoint {step:09d}.checkpoint" for step in sorted(damaged, reverse=True)]
    assert not any(file_of(out / FOLDER, step).exists() for step in damaged)


def test_a_checkpoint_of_another_training_is_discarded(out, events, reasons):
    foreign = Checkpoint(step=12, seconds=1.0, losses=torch.zeros(1), epochs=(), state={})
    write_checkpoint(file_of(out / FOLDER, 12), foreign, digest_of({**MINE, "seed": "6"}))
    assert take_over(out, MINE, events.append).step == 10
    assert reasons() == ["the checkpoint 000000012.checkpoint is of another training"]


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({"seed": "6", "training.epochs": "2"}, "holds another training; what differs: seed: 6 -> 5"),
        ({"seed": "5"}, "holds another training; what differs: training.epochs: nothing -> 2"),
        (None, "holds no identity.json: what stands there cannot be told apart"),
        ("{", "identity.json is not JSON"),
    ],
    ids=["another seed", "one fact less", "unknown", "damaged"],
)
def test_another_training_is_cleared_away(out, events, reasons, found, text):
    (out / RESULT).write_text("{}")
    (out / "stderr.txt").write_text("the launcher has it open")
    (out / IDENTITY).unlink()
    if found is not None:
        (out / IDENTITY).write_text(found if isinstance(found, str) else json.dumps(found))
    assert take_over(out, MINE, events.append) is None
    (reason,) = reasons()
    assert text in reason
    assert {path.name for path in out.iterdir()} == {IDENTITY, "stderr.txt"}


def test_what_a_kill_left_half_written_is_removed(out, events):
    draft = out / FOLDER / ".draft-000000015.checkpoint-12345678"
    draft.write_bytes(b"half")
    assert take_over(out, MINE, events.append).step == 10
    assert not draft.exists()


@pytest.fixture
def finished(trained, tmp_path):
    """A copy of a finished training, and the identity that it was made with."""
    shutil.copytree(trained[0].folder, tmp_path, dirs_exist_ok=True)
    return tmp_path, json.loads((tmp_path / IDENTITY).read_text())


def test_a_sound_result_is_taken(trained, finished, events):
    out, identity = finished
    (out / FOLDER).mkdir()
    assert take_over(out, identity, events.append).weights_sha256 == trained[0].weights_sha256
    assert events == []
    assert not (out / FOLDER).exists()


def change_a_weight(out):
    state = torch.load(out / WEIGHTS, weights_only=True)
    state["head.bias"][0] += 1
    torch.save(state, out / WEIGHTS)
    return state


def change_a_weight_and_its_files_digest(out):
    change_a_weight(out)
    values = json.loads((out / RESULT).read_text())
    values["files"][WEIGHTS] = file_sha256(out / WEIGHTS)
    (out / RESULT).write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (change_a_weight, rf"{WEIGHTS} has the SHA-256 .*, expected"),
        (change_a_weight_and_its_files_digest, rf"{WEIGHTS} holds weights .*, expected"),
        (lambda out: (out / MODULE).write_bytes(b"x"), rf"{MODULE} has the SHA-256"),
        (lambda out: (out / METRICS).write_text("{}"), rf"{METRICS} has the SHA-256"),
        (lambda out: (out / MODULE).unlink(), rf"{MODULE} cannot be read: No such file"),
        (lambda out: (out / RESULT).write_text("{"), rf"{RESULT} is not JSON"),
        (lambda out: (out / RESULT).write_text("{}"), rf"{RESULT} has other fields than expected"),
    ],
    ids=["a weight", "a weight, signed", "the module", "the metrics", "no module", "no JSON", "no fields"],
)
def test_a_damaged_result_is_none(finished, events, reasons, damage, text):
    out, identity = finished
    damage(out)
    assert take_over(out, identity, events.append) is None
    (reason,) = reasons()
    assert reason.startswith("the result is damaged: ")
    assert re.search(text, reason), reason
    assert not (out / RESULT).exists()


def test_the_weights_have_the_digest_that_the_result_names(trained):
    state = torch.load(trained[0].folder / WEIGHTS, weights_only=True)
    assert weights_sha256(state) == trained[0].weights_sha256


def test_two_trainings_are_never_in_one_folder(tmp_path, monkeypatch):
    code = (
        "import sys; from pathlib import Path; from tasks.training.earlier import alone_in\n"
        "with alone_in(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as other:
        assert other.stdout.readline() == "in\n"
        with monkeypatch.context() as patch:
            patch.setattr(earlier, "LOCK_LIMIT_S", 0.0)
            with (
                pytest.raises(TrainingError, match=rf"{tmp_path} is in use by process {other.pid}: wait for it, or"),
                alone_in(tmp_path),
            ):
                pytest.fail("two at once")
        other.kill()  # the kernel frees the lock of a process, however it dies
        with alone_in(tmp_path):
            assert int((tmp_path / "lock").read_text()) != other.pid
