"""A training may be given a GPU of its own; otherwise it sees what the launcher sees."""

import sys

import pytest

from tasks.training.run import VISIBLE_GPUS, launch

SAY = f"import json, os; print(json.dumps({{'event': 'seen', 'gpus': os.environ.get({VISIBLE_GPUS!r})}}))"


@pytest.mark.parametrize(("gpu", "seen"), [("GPU-7", "GPU-7"), ("", "0,1")], ids=["its own", "the launcher's"])
def test_it_sees_the_gpu_that_it_was_given(tmp_path, monkeypatch, gpu, seen):
    monkeypatch.setenv(VISIBLE_GPUS, "0,1")
    events = []
    code, said = launch([sys.executable, "-c", SAY], 1, tmp_path, events.append, gpu=gpu)
    assert (code, events) == (0, [{"event": "seen", "gpus": seen}]), said
