"""Places for trainings: as many as GPUs or cores, each taken by one at a time."""

import threading

import pytest

from tasks import places
from tasks.errors import TrainingStopped
from tasks.places import Places, find_gpus, find_places
from tasks.training.run import VISIBLE_GPUS


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Put an nvidia-smi in the path that says these lines."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv(VISIBLE_GPUS, raising=False)

    def say(text: str, code: int = 0) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
        program.chmod(0o755)

    return say


THREE = "GPU-1, NVIDIA H200\nGPU-2, NVIDIA L4\nGPU-3, NVIDIA H200"


def test_gpus_of_one_name_are_places(smi):
    smi(THREE)
    assert find_gpus("NVIDIA H200") == ["GPU-1", "GPU-3"]
    assert find_places({"device": "cuda", "gpu": "NVIDIA H200"}, threads=2).count == 2


def test_those_that_the_process_may_use_are_the_places(smi, monkeypatch):
    smi(THREE)
    monkeypatch.setenv(VISIBLE_GPUS, "2,0")
    assert find_gpus("NVIDIA H200") == ["2", "0"]


@pytest.mark.parametrize(("text", "code"), [("no driver", 9), ("", 0)])
def test_where_the_driver_tells_nothing_there_is_one_place(smi, text, code):
    smi(text, code)
    found = find_places({"device": "cuda", "gpu": "NVIDIA H200"}, threads=2)
    assert found.count == 1
    with found.take() as gpu:
        assert gpu == ""


@pytest.mark.parametrize(("cores", "threads", "count"), [(8, 2, 4), (8, 3, 2), (2, 2, 1), (1, 4, 1)])
def test_cores_are_shared_by_the_threads_of_each(monkeypatch, cores, threads, count):
    monkeypatch.setattr(places, "count_cores", lambda: cores)
    assert find_places({"device": "cpu"}, threads=threads).count == count


def test_this_machine_has_cores():
    assert places.count_cores() >= 1


def test_a_place_is_taken_by_one_at_a_time():
    free = Places(["a", "b"])
    order, waiting = [], threading.Event()

    def third() -> None:
        waiting.set()
        with free.take() as gpu:
            order.append(gpu)

    thread = threading.Thread(target=third)
    with free.take() as first, free.take() as second:
        assert (first, second) == ("a", "b")
        thread.start()
        assert waiting.wait(10)
        order.append("two are taken")
    thread.join(10)
    assert order == ["two are taken", "b"]


def test_a_place_is_given_back_by_who_fails():
    free = Places(["a"])
    with pytest.raises(ValueError, match="diverged"), free.take():
        raise ValueError("diverged")
    with free.take() as gpu:
        assert gpu == "a"


def test_nobody_begins_after_a_request_to_stop():
    free = Places([""])
    free.check_stop()
    free.stop()
    with pytest.raises(TrainingStopped, match="asked to stop"), free.take():
        pytest.fail("a training began")
    with pytest.raises(TrainingStopped):
        free.check_stop()
