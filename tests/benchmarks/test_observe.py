"""A measured process is followed by its events, cut at a step, and its speed is that of its steps."""

import os
import sys

import psutil
import pytest

from benchmarks.observe import BenchmarkError, epochs_speed, is_alive, observe, steps_speed

TELL = "import json, sys, time; tell = lambda **event: print(json.dumps(event), flush=True)\n"


def run(code, **options):
    return observe([sys.executable, "-c", TELL + code], os.environ, **options)


def test_events_are_kept_in_their_order_with_their_times():
    observed = run("print('chatter'); tell(event='start'); print('[1, 2]'); tell(event='end', test_accuracy=0.5)")
    assert [event["event"] for event in observed.events] == ["start", "end"]
    assert observed.last("end")["test_accuracy"] == 0.5
    assert 0 < observed.events[0]["at_s"] <= observed.events[1]["at_s"] <= observed.seconds
    with pytest.raises(BenchmarkError, match=r"no event 'epoch' among \['end', 'start'\]"):
        observed.last("epoch")


def test_a_process_is_killed_at_the_step_with_what_it_started():
    observed = run(
        "import subprocess; child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        "tell(event='child', pid=child.pid)\n"
        "for step in range(1, 10_000): tell(event='step', step=step); time.sleep(0.001)",
        until_step=7,
    )
    assert observed.events[-1]["step"] == 7
    child = observed.last("child")["pid"]
    assert child not in {process.pid for process in psutil.process_iter() if is_alive(process)}


def test_a_failure_is_told_with_its_last_words():
    with pytest.raises(BenchmarkError, match="ended 3: no such data"):
        run("tell(event='start'); print('no such data', file=sys.stderr); sys.exit(3)")


def step(step, at_s):
    return {"event": "step", "step": step, "at_s": at_s}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([step(1, 0.0), step(10, 1.0), step(30, 2.0), step(50, 3.0)], 20 * 8),
        ([step(10, 0.0), step(20, 1.0), {"event": "epoch", "at_s": 9.0}, step(21, 9.5), step(31, 10.5)], 10 * 8),
        ([step(10, 0.0), {"event": "checkpoint", "at_s": 1.0}, step(20, 2.0)], 5 * 8),
    ],
    ids=["after the warm-up", "without what lies between epochs", "with what checkpoints cost"],
)
def test_speed_of_steps(events, expected):
    assert steps_speed(events, batch_size=8, warmup_steps=10) == pytest.approx(expected)


def test_speed_of_epochs_leaves_out_the_first():
    events = [{"event": "epoch", "images_per_s": speed} for speed in (1.0, 100.0, 300.0)]
    assert epochs_speed(events) == pytest.approx(150.0)  # the same images twice: 2 / (1 / 100 + 1 / 300)


def test_too_little_to_measure_is_refused():
    with pytest.raises(BenchmarkError, match="no two steps were reported after the first 100"):
        steps_speed([step(1, 0.0), step(50, 1.0)], batch_size=8, warmup_steps=100)
    with pytest.raises(BenchmarkError, match="1 epochs were reported, expected 2"):
        epochs_speed([{"event": "epoch", "images_per_s": 1.0}])
