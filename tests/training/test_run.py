"""Real trainings in fresh processes: the same bits for the same inputs, and a clear word where none come out."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from serving.bundle.module import load_module
from tasks.errors import ConfigError, DataError, TrainingError
from tasks.training.network import load_eager
from tasks.training.result import RESULT, TrainedModel, read_events, read_result
from tasks.training.run import failure, launch_environment, train


@pytest.fixture(scope="session")
def trained(spec, tmp_path_factory) -> tuple[TrainedModel, list[dict]]:
    """A finished training and its events."""
    events = []
    return train(spec, tmp_path_factory.mktemp("run") / "out", events.append), events


def test_it_tells_what_it_does(trained, spec):
    model, events = trained
    assert [event["event"] for event in events if event["event"] != "step"] == ["start", "epoch", "epoch", "end"]
    steps = [event for event in events if event["event"] == "step"]
    assert steps[-1] == {"event": "step", "step": 14, "steps": 14}  # 240 images, 32 a step, 2 epochs
    epochs = [event for event in events if event["event"] == "epoch"]
    assert read_events(model.folder) == epochs
    assert epochs[-1]["step"] == 14
    assert epochs[1]["train_loss"] < epochs[0]["train_loss"]
    assert model.classes == spec.classes
    assert model.hardware["threads"] == "1"
    assert model.versions["torch"] == torch.__version__
    assert read_result(model.folder) == model


def test_a_fresh_process_gives_the_same_weights_from_any_folder(trained, spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # the contract's variables win over the caller's
    again = train(spec, tmp_path / "again", lambda event: None)
    assert again.weights_sha256 == trained[0].weights_sha256


def test_what_the_caller_tells_the_libraries_does_not_reach_the_weights(trained, spec, tmp_path, monkeypatch):
    for name, value in {"DNNL_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}.items():
        monkeypatch.setenv(name, value)
    again = train(spec, tmp_path / "again", lambda event: None)
    assert again.weights_sha256 == trained[0].weights_sha256
    assert again.hardware == trained[0].hardware


def test_what_a_library_prints_is_no_event(spec, tmp_path, monkeypatch):
    printed = ["hello", "[1]", "{}", "3", '{"step": 1}']
    text = f"for line in {printed!r}:\n    print(line)\n"
    (tmp_path / "sitecustomize.py").write_text(text)  # Python runs it when it starts
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    events = []
    train(spec, tmp_path / "out", events.append)
    assert [event["event"] for event in events if event["event"] != "step"] == ["start", "epoch", "epoch", "end"]
    assert (tmp_path / "out" / "stdout.txt").read_text().splitlines() == printed


def test_another_seed_gives_other_weights(trained, spec, tmp_path):
    other = train(replace(spec, seed=6), tmp_path / "other", lambda event: None)
    assert other.weights_sha256 != trained[0].weights_sha256


def test_the_script_answers_as_the_eager_module(trained, pixel_map):
    folder = trained[0].folder
    batch = torch.from_numpy(np.load(pixel_map / "images.npy")[:20])
    with torch.inference_mode():
        eager, scripted = load_eager(folder), load_module(folder / "model.pt")
        for mine, theirs in zip(eager(batch), scripted(batch), strict=True):
            assert torch.equal(mine, theirs)
        scripted.set_temperature(2.0)
        assert not torch.equal(eager(batch)[0], scripted(batch)[0])


def test_a_killed_training_is_told_and_leaves_no_result(spec, tmp_path):
    def kill(event):
        if event["event"] == "epoch":
            (child,) = [p for p in psutil.Process().children() if "tasks.training" in p.cmdline()]
            child.kill()

    long = replace(spec, recipe=replace(spec.recipe, epochs=500))
    with pytest.raises(TrainingError, match=r"killed by SIGKILL .*start the run again"):
        train(long, tmp_path / "out", kill)
    assert (tmp_path / "out" / "metrics.jsonl").exists()
    with pytest.raises(TrainingError, match=r"holds no finished training: result.json is missing"):
        read_result(tmp_path / "out")


def test_what_an_unfinished_training_left_is_removed(spec, tmp_path):
    (tmp_path / RESULT).write_text("{}")
    with pytest.raises(DataError):
        train(replace(spec, pixels="/nowhere"), tmp_path, lambda event: None)
    assert not (tmp_path / RESULT).exists()


def test_a_listener_that_fails_ends_the_training(spec, tmp_path):
    def fail(event):
        raise KeyError("listener")

    long = replace(spec, recipe=replace(spec.recipe, epochs=500))
    with pytest.raises(KeyError, match="listener"):
        train(long, tmp_path / "out", fail)
    assert not [p for p in psutil.Process().children() if "tasks.training" in p.cmdline()]


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"pixels": "/nowhere"}, DataError, "/nowhere is no pixel map: .*splits.npy"),
        ({"channels": 3}, DataError, r"images of shape \(1, 28, 28\), the spec says \(3, 28, 28\)"),
        ({"architecture": "resnet17"}, ConfigError, "'resnet17' is unknown; near: .*resnet18"),
        ({"batch_size": 241}, TrainingError, "240 training images, fewer than training.batch_size = 241"),
        ({"batch_size": 120}, TrainingError, "are 4 steps, expected 5 or more: raise the epochs"),
        ({"learning_rate": 1e30}, TrainingError, "the loss of epoch 1 is nan .*lower training.learning_rate"),
    ],
    ids=["no map", "another shape", "unknown network", "no batch", "too few steps", "diverged"],
)
def test_the_reason_and_its_class_come_back(spec, tmp_path, changes, kind, text):
    of_recipe = {key: value for key, value in changes.items() if hasattr(spec.recipe, key)}
    of_spec = {key: value for key, value in changes.items() if key not in of_recipe}
    wrong = replace(spec, **of_spec, recipe=replace(spec.recipe, **of_recipe))
    with pytest.raises(kind, match=text) as caught:
        train(wrong, tmp_path / "out", lambda event: None)
    assert type(caught.value) is kind
    assert f"{tmp_path}/out/stderr.txt" in str(caught.value)


def test_without_a_listener_it_stops_by_itself(spec, tmp_path):
    long = replace(spec, recipe=replace(spec.recipe, epochs=500))
    (tmp_path / "spec.json").write_text(long.to_json())
    command = [sys.executable, "-m", "tasks.training", str(tmp_path / "spec.json"), str(tmp_path / "out")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=launch_environment(1), **pipes) as process:
        assert json.loads(process.stdout.readline())["event"] == "start"
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait() == TrainingError.exit_code
    assert said == "the process that started this training is gone: stopped\n"


@pytest.mark.parametrize("name", ["CUBLAS_WORKSPACE_CONFIG", "OMP_NUM_THREADS", "PYTHONHASHSEED"])
def test_without_the_contracts_variables_nothing_trains(spec, tmp_path, name):
    (tmp_path / "spec.json").write_text(spec.to_json())
    command = [sys.executable, "-m", "tasks.training", str(tmp_path / "spec.json"), str(tmp_path / "out")]
    environment = {key: value for key, value in launch_environment(1).items() if key != name}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == TrainingError.exit_code
    assert f"{name} is None, expected" in done.stderr
    assert "start training through tasks.training.run" in done.stderr


def test_with_a_foreign_variable_nothing_trains(spec, tmp_path):
    (tmp_path / "spec.json").write_text(spec.to_json())
    command = [sys.executable, "-m", "tasks.training", str(tmp_path / "spec.json"), str(tmp_path / "out")]
    environment = {**launch_environment(1), "DNNL_MAX_CPU_ISA": "AVX2", "TORCH_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == TrainingError.exit_code
    assert done.stderr.startswith("DNNL_MAX_CPU_ISA: set, and may change the weights, expected unset: start training")


def test_a_wrong_command_line_says_the_right_one():
    done = subprocess.run(
        [sys.executable, "-m", "tasks.training"], env=dict(os.environ), cwd=Path(__file__).parents[2],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "usage: python -m tasks.training SPEC.json OUT/\n")


def test_signals_have_names():
    assert "killed by SIGSEGV (see out/stderr.txt)" in str(failure(-signal.SIGSEGV, "", Path("out")))
    assert isinstance(failure(1, "Traceback\nValueError: x", Path("out")), TrainingError)
    assert "it said nothing" in str(failure(1, "", Path("out")))
