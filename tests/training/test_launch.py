"""What the launcher gives its process: a GPU of its own if asked, and this code wherever it starts."""

import sys
from pathlib import Path

import pytest

import tasks
from tasks.training.run import VISIBLE_GPUS, launch

SAY = f"import json, os; print(json.dumps({{'event': 'seen', 'gpus': os.environ.get({VISIBLE_GPUS!r})}}))"
WHERE = "import json, tasks; print(json.dumps({'event': 'seen', 'code': tasks.__file__}))"


def run(code: str, out: Path, **options: str) -> list[dict]:
    events: list[dict] = []
    assert launch([sys.executable, "-c", code], 1, out, events.append, **options)[0] == 0
    return events


@pytest.mark.parametrize(("gpu", "seen"), [("GPU-7", "GPU-7"), ("", "0,1")], ids=["its own", "the launcher's"])
def test_it_sees_the_gpu_that_it_was_given(tmp_path, monkeypatch, gpu, seen):
    monkeypatch.setenv(VISIBLE_GPUS, "0,1")
    assert run(SAY, tmp_path, gpu=gpu) == [{"event": "seen", "gpus": seen}]


def test_another_clone_in_the_current_folder_is_not_this_code(tmp_path, monkeypatch):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert run(WHERE, tmp_path) == [{"event": "seen", "code": tasks.__file__}]
