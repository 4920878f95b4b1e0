import os
import subprocess
import sys

import psutil
import pytest

from tasks.process_identity import find_process, is_process_alive


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()
    process.stdin.close()


def test_a_process_is_found_until_it_ends(child):
    started_at = psutil.Process(child.pid).create_time()
    assert find_process(child.pid, started_at).pid == child.pid
    child.kill()
    child.wait()
    assert find_process(child.pid, started_at) is None


def test_one_that_ended_and_was_not_waited_for_is_not_alive(child):
    started_at = psutil.Process(child.pid).create_time()
    child.stdin.write(b"\n")
    child.stdin.flush()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    assert not is_process_alive(child.pid, started_at)


@pytest.mark.parametrize(
    ("offset_s", "is_alive"),
    [(0, True), (-0.5, True), (0.5, True), (-60, False), (60, False)],
    ids=["the same", "clock set back", "clock set on", "an earlier one with its pid", "a later one"],
)
def test_a_pid_that_is_used_again_is_another_process(child, offset_s, is_alive):
    started_at = psutil.Process(child.pid).create_time()
    assert is_process_alive(child.pid, started_at + offset_s) is is_alive
