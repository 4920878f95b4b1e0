"""Real trainings in fresh processes: the same bits for the same inputs, and a clear word where none come out."""

import json
import re
import shutil
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
from tasks.errors import ConfigError, DataError, TrainingError, TrainingStopped
from tasks.training import run
from tasks.training.determinism import expected_flags
from tasks.training.environment import launch_environment
from tasks.training.network import load_eager
from tasks.training.result import read_events, read_result
from tasks.training.run import failure, launch, train
from tests.conftest import ROOT

NOT_FINITE = (
    r"the loss is (nan|inf) at step 2 of 14 \(epoch 1\), with a learning rate of \S+e\+\d+, "
    r"on the images ([0-9a-f]{64}, ){2}[0-9a-f]{64} and 29 more: lower training.learning_rate = 1e\+30"
)
LASTING = ["start", "epoch", "epoch", "end"]


def lasting(events):
    return [event["event"] for event in events if event["event"] not in {"step", "checkpoint"}]


def test_it_tells_what_it_does(trained, spec):
    model, events = trained
    assert lasting(events) == LASTING
    steps = [event for event in events if event["event"] == "step"]
    assert steps[-1] == {"event": "step", "step": 14, "steps": 14}  # 240 images, 32 a step, 2 epochs
    assert [event["step"] for event in events if event["event"] == "checkpoint"] == [5, 10]
    epochs = [event for event in events if event["event"] == "epoch"]
    assert read_events(model.folder) == epochs
    assert epochs[-1]["step"] == 14
    assert epochs[1]["train_loss"] < epochs[0]["train_loss"]
    assert model.classes == spec.classes
    assert model.hardware["threads"] == "1"
    assert model.versions["torch"] == torch.__version__
    assert read_result(model.folder) == model
    assert events[0]["flags"] == expected_flags(threads=1)
    assert events[-1] == {"event": "end", "weights_sha256": model.weights_sha256, "seconds": model.seconds}
    files = {"identity.json", "lock", "metrics.jsonl", "model.pt", "request.json", "result.json", "spec.json"}
    assert {path.name for path in model.folder.iterdir()} == files | {"stderr.txt", "stdout.txt", "weights.pt"}


def test_a_fresh_process_gives_the_same_weights_whatever_its_caller(trained, spec, tmp_path, monkeypatch):
    """From any folder, and with variables that choose threads and instructions: the contract's win."""
    monkeypatch.chdir(tmp_path)
    chosen = {"DNNL_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
    for name, value in {"OMP_NUM_THREADS": "7", **chosen}.items():
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
    assert lasting(events) == LASTING
    assert (tmp_path / "out" / "stdout.txt").read_text().splitlines() == printed


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
    with pytest.raises(TrainingError, match=r"killed by SIGKILL .*start the run again to go on"):
        train(long, tmp_path / "out", kill)
    assert (tmp_path / "out" / "metrics.jsonl").exists()
    with pytest.raises(TrainingError, match=r"holds no finished training: result.json is missing"):
        read_result(tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"pixels": "/nowhere"}, DataError, "/nowhere is no pixel map: .*splits.npy"),
        ({"learning_rate": 1e30}, TrainingError, NOT_FINITE),
    ],
    ids=["no map", "no finite loss"],
)
def test_the_reason_and_its_class_come_back(spec, tmp_path, changes, kind, text):
    of_recipe = {key: value for key, value in changes.items() if hasattr(spec.recipe, key)}
    of_spec = {key: value for key, value in changes.items() if key not in of_recipe}
    wrong = replace(spec, **of_spec, recipe=replace(spec.recipe, **of_recipe))
    with pytest.raises(kind, match=text) as caught:
        train(wrong, tmp_path / "out", lambda event: None)
    assert type(caught.value) is kind
    assert f"{tmp_path}/out/stderr.txt" in str(caught.value)


def test_without_a_listener_it_stops_by_itself_and_can_go_on(spec, tmp_path):
    long = replace(spec, recipe=replace(spec.recipe, epochs=500))
    (tmp_path / "spec.json").write_text(long.to_json())
    command = [sys.executable, "-m", "tasks.training", str(tmp_path / "spec.json"), str(tmp_path / "out")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=launch_environment(1), **pipes) as process:
        assert json.loads(process.stdout.readline())["event"] == "start"
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait() == TrainingStopped.exit_code
    assert re.fullmatch(
        r"training stopped after step (\d+) of 3500: the process that started it is gone; "
        r"the checkpoint of step \1 is kept; start it again to go on\n",
        said,
    )


def test_the_launcher_is_a_command_too(spec, trained, tmp_path):
    """It hands on the events; a SIGTERM reaches the trainer, which leaves a checkpoint; called again, it goes on."""
    shutil.copytree(trained[0].folder, tmp_path / "out")
    (tmp_path / "spec.json").write_text(replace(spec, seed=6).to_json())
    command = [sys.executable, "-m", "tasks.training.run", str(tmp_path / "spec.json"), str(tmp_path / "out")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        told = [json.loads(process.stdout.readline())["event"] for _ in range(2)]
        process.terminate()
        _, said = process.communicate()
        assert process.returncode == TrainingStopped.exit_code, said
    assert told == ["start", "discarded"]
    assert said == "training was sent SIGTERM, and goes on when it is started again\n"
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert told[:2] == ["start", "resumed"]
    assert told[-1] == "end"


def test_without_the_contracts_variables_nothing_trains(spec, tmp_path):
    (tmp_path / "spec.json").write_text(spec.to_json())
    command = [sys.executable, "-m", "tasks.training", str(tmp_path / "spec.json"), str(tmp_path / "out")]
    environment = {key: value for key, value in launch_environment(1).items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == TrainingError.exit_code
    assert done.stderr == ("OMP_NUM_THREADS is None, expected '1': start training through tasks.training.run\n")


@pytest.mark.parametrize("module", ["tasks.training", "tasks.training.run"])
def test_a_wrong_command_line_says_the_right_one(module):
    command = [sys.executable, "-m", module]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, f"usage: python -m {module} SPEC.json OUT/\n")


def test_a_kill_for_want_of_memory_is_told_as_such(spec, tmp_path, monkeypatch):
    kills = iter([3, 4])
    monkeypatch.setattr(run, "count_kills", lambda: next(kills))
    monkeypatch.setattr(run, "launch", lambda *given, **options: (-signal.SIGKILL, ""))
    monkeypatch.setattr(run, "advise", lambda spec, request: "lower it")
    with pytest.raises(TrainingError, match=r"the kernel killed the training for want of memory: lower it"):
        train(spec, tmp_path, lambda event: None)


def test_a_process_that_does_not_stop_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "STOP_LIMIT_S", 0.1)
    code = (
        "import json, os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(json.dumps({'event': 'start', 'pid': os.getpid()}), flush=True); signal.pause()"
    )
    pids = []

    def fail(event):
        pids.append(event["pid"])
        raise KeyError("listener")

    with pytest.raises(KeyError, match="listener"):
        launch([sys.executable, "-c", code], 1, tmp_path, fail)
    assert not psutil.pid_exists(*pids)


def test_the_launcher_does_without_torch():
    """It runs in the orchestrator, where torch would cost seconds and memory."""
    code = "import sys, tasks.training.run, tasks.training.machine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_how_it_ended_has_its_error():
    assert "killed by SIGSEGV (see out/stderr.txt)" in str(failure(-signal.SIGSEGV, "", Path("out")))
    assert "ValueError: x (training ended with code 1" in str(failure(1, "ValueError: x", Path("out")))
    kinds = {1: TrainingError, 2: ConfigError, 10: DataError, 11: TrainingError, 75: TrainingStopped}
    assert {code: type(failure(code, "why", Path("out"))) for code in kinds} == kinds
