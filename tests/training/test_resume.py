"""A training that was killed, stopped, or left without a disk goes on to the same bits."""

import contextlib
import json
import shutil
import signal
import subprocess
from dataclasses import replace

import psutil
import pytest

from tasks.errors import TrainingError, TrainingStopped
from tasks.training.checkpoint import FOLDER, file_of
from tasks.training.result import read_events
from tasks.training.run import train
from tests.training.processes import killed_writing, run_trainer, signal_at

STEPS = 14  # of `spec`: two epochs of 7, a checkpoint after every 5


def names(events):
    return [event["event"] for event in events if event["event"] not in {"step", "checkpoint"}]


def decided(events):
    """What of the epochs' events the weights decide, and not the clock."""
    epochs = [event for event in events if event["event"] == "epoch"]
    clock = {"time", "images_per_s"}
    return [{name: value for name, value in event.items() if name not in clock} for event in epochs]


def checkpoints(out):
    return sorted(int(path.stem) for path in (out / FOLDER).iterdir())


def test_killed_again_and_again_it_comes_to_the_same_bits(trained, spec, tmp_path):
    """Before a checkpoint, while one is written, in the last step; the rest is carried out otherwise.

    That is with another folder of pixels, streamed by three threads, and a checkpoint after each step.
    """
    out = tmp_path / "elsewhere" / "out"
    last = signal_at(STEPS, "SIGKILL", file_of(out / FOLDER, 10))
    left = []
    for prelude in (signal_at(3, "SIGKILL"), killed_writing(10), last):
        assert run_trainer(spec, out, prelude).returncode == -signal.SIGKILL
        left.append(sorted(path.name for path in (out / FOLDER).iterdir()) if (out / FOLDER).exists() else [])
    five, ten = (file_of(out, step).name for step in (5, 10))
    assert left == [[], [".draft-half", five], [five, ten]]

    shutil.copytree(spec.pixels, tmp_path / "map")
    execution = replace(spec.execution, loader_workers=3, max_resident_bytes=0, checkpoint_steps=1)
    events = []
    model = train(replace(spec, pixels=str(tmp_path / "map"), execution=execution), out, events.append)
    assert model.weights_sha256 == trained[0].weights_sha256
    assert names(events) == ["start", "resumed", "epoch", "epoch", "end"]
    assert events[1] == {"event": "resumed", "step": 10, "steps": STEPS}
    assert [event["step"] for event in events if event["event"] == "checkpoint"] == [11, 12, 13]  # not the last step's
    assert decided(events) == decided(trained[1]) == decided(read_events(out))
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in trained[0].folder.iterdir())


def test_a_signal_stops_it_and_a_damaged_checkpoint_falls_back_to_the_one_before(trained, spec, tmp_path):
    stop(spec, tmp_path, step=9, name="SIGTERM")
    assert checkpoints(tmp_path) == [5, 9]
    stop(spec, tmp_path, step=13, name="SIGINT")
    assert checkpoints(tmp_path) == [10, 13]
    newest = file_of(tmp_path / FOLDER, 13)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    events = []
    model = train(spec, tmp_path, events.append)
    assert names(events) == ["start", "discarded", "resumed", "epoch", "epoch", "end"]
    assert events[1]["reason"].startswith(f"the checkpoint {newest.name} is damaged: its ")
    assert events[2] == {"event": "resumed", "step": 10, "steps": STEPS}
    assert model.weights_sha256 == trained[0].weights_sha256
    assert model.seconds > 0


def stop(spec, out, *, step, name):
    """Stop a trainer by a signal, and see how it ends."""
    done = run_trainer(spec, out, signal_at(step, name))
    assert done.returncode == TrainingStopped.exit_code == 75
    assert done.stderr == (
        f"training stopped after step {step} of {STEPS}: it was sent {name}; the checkpoint of step {step} is kept; "
        "start it again to go on\n"
    )


def test_a_listener_that_fails_stops_the_training_which_can_go_on(spec, tmp_path):
    def fail(event):
        if event["event"] == "step":
            raise KeyboardInterrupt("Ctrl-C")

    long = replace(spec, recipe=replace(spec.recipe, epochs=500))
    with pytest.raises(KeyboardInterrupt, match="Ctrl-C"):
        train(long, tmp_path, fail)
    assert not [p for p in psutil.Process().children() if "tasks.training" in p.cmdline()]
    assert checkpoints(tmp_path)


def test_a_finished_training_is_reused_and_told_again(trained, spec, tmp_path):
    shutil.copytree(trained[0].folder, tmp_path, dirs_exist_ok=True)
    events = []
    model = train(replace(spec, pixels="/nowhere"), tmp_path, events.append)
    assert model == replace(trained[0], folder=tmp_path)
    assert events == [event for event in trained[1] if event["event"] not in {"step", "checkpoint"}]


def test_another_training_in_the_folder_is_discarded(trained, spec, tmp_path):
    shutil.copytree(trained[0].folder, tmp_path, dirs_exist_ok=True)
    events = []
    other = train(replace(spec, seed=6), tmp_path, events.append)
    assert names(events) == ["start", "discarded", "epoch", "epoch", "end"]
    assert events[1]["reason"] == f"{tmp_path} holds another training; what differs: seed: 5 -> 6"
    assert other.weights_sha256 != trained[0].weights_sha256


def test_a_checkpoint_that_does_not_fit_the_disk_stops_nothing(trained, spec, tmp_path):
    """A limit on a file's size between that of a checkpoint and those of the model's files."""
    limit = max(path.stat().st_size for path in trained[0].folder.iterdir())
    done = run_trainer(spec, tmp_path, f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit},) * 2)")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    failed = [event for event in events if event["event"] == "checkpoint_failed"]
    assert [event["step"] for event in failed] == [5, 10]
    assert failed[0]["reason"].startswith(f"File too large: {tmp_path / FOLDER}; the one before is kept")
    assert events[-1]["weights_sha256"] == trained[0].weights_sha256


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"a small file system needs root: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_keeps_the_last_checkpoint(spec, small_disk):
    """It fills up after the first checkpoint, to the last byte: nothing can be written any more, not even a reason."""
    out, ballast = small_disk / "out", small_disk / "ballast"
    events = []

    def fill(event):
        events.append(event)
        if event["event"] == "checkpoint":
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(bytes(1000)):
                    pass

    longer = replace(spec, recipe=replace(spec.recipe, epochs=8))  # 56 steps: it fills up before the last checkpoint
    with pytest.raises(TrainingError, match=r"does not take the training's files: No space left.*checkpoint there is"):
        train(longer, out, fill)
    kept = [event["step"] for event in events if event["event"] == "checkpoint"][-1]
    assert [event["step"] for event in events if event["event"] == "checkpoint_failed"][-1] == 55
    assert checkpoints(out)[-1] == kept
    assert any(event["event"] == "metrics_failed" for event in events)
    ballast.unlink()
    events.clear()
    train(longer, out, events.append)
    assert {"event": "resumed", "step": kept, "steps": 56} in events
    assert [event["epoch"] for event in read_events(out)] == list(range(1, 9))
