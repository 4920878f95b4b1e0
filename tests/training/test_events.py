"""Events go to stdout and, those that last, to a file; a listener that is gone is a request to stop."""

import json
import os
import subprocess
import sys

import pytest

from tasks.training.events import EventLog
from tasks.training.stop import Stop
from tests.conftest import ROOT


@pytest.fixture
def log():
    return EventLog(Stop())


def in_file(folder):
    return [json.loads(line)["event"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_all_are_told_and_the_lasting_ones_kept(log, tmp_path, capsys):
    names = ["start", "discarded", "resumed", "step", "epoch", "checkpoint", "checkpoint_failed", "end"]
    for name in names[:2]:
        log({"event": name})
    assert not list(tmp_path.iterdir())
    (tmp_path / "metrics.jsonl").write_text('{"event": "of an earlier attempt"}\n')
    log.keep_in(tmp_path)
    for name in names[2:]:
        log({"event": name})
    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == names
    assert in_file(tmp_path) == ["start", "discarded", "resumed", "epoch", "checkpoint_failed"]
    log.complete()
    assert in_file(tmp_path) == ["start", "discarded", "resumed", "epoch", "checkpoint_failed"]


def test_what_the_disk_did_not_take_is_written_at_the_end(log, tmp_path, capsys):
    log.keep_in(tmp_path)
    (tmp_path / "metrics.jsonl").mkdir()
    log({"event": "epoch"})
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    reason = f"Is a directory: {tmp_path}/metrics.jsonl; it is whole again at the end"
    assert told == [{"event": "metrics_failed", "reason": reason}, {"event": "epoch"}]
    (tmp_path / "metrics.jsonl").rmdir()
    log({"event": "resumed"})
    log.complete()
    assert in_file(tmp_path) == ["epoch", "resumed"]


def test_a_listener_that_is_gone_is_a_request_to_stop():
    code = (
        "import sys; from tasks.training.events import EventLog; from tasks.training.stop import Stop\n"
        "stop = Stop(); log = EventLog(stop); sys.stdin.read()\n"
        "[log({'event': 'step'}) for _ in range(3)]\n"
        "print(stop.reason, file=sys.stderr)"
    )
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ), text=True, **pipes) as process:
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == "the process that started it is gone\n"
        assert process.wait() == 0
