"""A module of a version's code in a process of its own."""

import sys
import time
from pathlib import Path

import psutil
import pytest

from tasks.errors import ConfigError, DataError, TrainingError, TrainingStopped
from tasks.reproduction.launch import run_module


@pytest.fixture
def code(tmp_path) -> Path:
    root = tmp_path / "code"
    (root / "tasks").mkdir(parents=True)
    (root / "tasks" / "__init__.py").write_text("")
    return root


def run(code: Path, script: str, events: list | None = None) -> None:
    (code / "tasks" / "work.py").write_text(script)
    listener = (lambda _: None) if events is None else events.append
    run_module("tasks.work", ["a"], python=Path(sys.executable), code=code, out=code, on_event=listener)


def test_events_are_handed_on_and_other_lines_are_not(code):
    events: list = []
    run(
        code,
        "import sys, tasks\n"
        "print('a library'); print('[1]'); print('{}')\n"
        'print(\'{"event": "stage", "argument": "%s", "file": "%s"}\' % (sys.argv[1], tasks.__file__))\n',
        events,
    )
    assert events == [{"event": "stage", "argument": "a", "file": str(code / "tasks" / "__init__.py")}]


@pytest.mark.parametrize(
    ("ending", "kind", "text"),
    [
        ("sys.exit(2)", ConfigError, "the last line"),
        ("sys.exit(10)", DataError, "the last line"),
        ("sys.exit(11)", TrainingError, "the last line"),
        ("sys.exit(75)", TrainingStopped, "the last line"),
        (
            "raise ValueError('odd')",
            TrainingError,
            r"tasks.work, in the version's own code, ended with code 1:(.|\n)*odd",
        ),
        ("import os; os.kill(os.getpid(), 9)", TrainingError, "was killed by SIGKILL"),
    ],
)
def test_a_failure_is_the_error_that_it_was_there(code, ending, kind, text):
    script = f"import sys\nprint('first', file=sys.stderr)\nprint('the last line', file=sys.stderr)\n{ending}\n"
    with pytest.raises(kind, match=text) as raised:
        run(code, script)
    assert type(raised.value) is kind


def test_code_without_the_module_is_too_old(code):
    with pytest.raises(ConfigError, match=r"no tasks.gone: its commit is older than `evergreen reproduce`"):
        run_module("tasks.gone", [], python=Path(sys.executable), code=code, out=code, on_event=lambda _: None)


def test_who_stops_listening_stops_it_with_all_that_it_started(code):
    script = (
        "import json, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "print(json.dumps({'event': 'stage', 'pid': child.pid}), flush=True)\n"
        "time.sleep(600)\n"
    )
    children = []

    def listen(event):
        children.append(psutil.Process(event["pid"]))
        raise KeyboardInterrupt

    (code / "tasks" / "work.py").write_text(script)
    with pytest.raises(KeyboardInterrupt):
        run_module("tasks.work", [], python=Path(sys.executable), code=code, out=code, on_event=listen)
    (child,) = children
    assert has_ended(child)


def has_ended(process: psutil.Process) -> bool:
    """Whether a killed process ends soon, be it collected or not."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False
