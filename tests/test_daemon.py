"""A process that outlives whoever started it; a pid that another process got since is never touched."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest

from tasks import daemon
from tasks.errors import StackError

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
PARENT = textwrap.dedent("""
    import signal, subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(child.pid, flush=True)
    time.sleep(600)
""")
PATIENCE_S = 30.0


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Start Python code as the daemon `probe`, and leave none of it behind."""
    started = []

    def start(code, **environment):
        arguments = {"folder": tmp_path / "records", "environment": environment, "cwd": tmp_path}
        found = daemon.start("probe", [sys.executable, "-u", "-c", code], **arguments)
        started.append(found)
        return found

    yield start
    for found in started:
        daemon.stop(found, folder=tmp_path / "records", grace_s=0.1)


def wait_for_line(found):
    """Return the first line of the log, once it is there."""
    process = psutil.Process(found.pid)
    while not (lines := found.last_lines().splitlines()):
        with pytest.raises(psutil.TimeoutExpired):
            process.wait(0.05)
    return lines[0]


def test_it_is_found_by_its_record_and_stopped(run, tmp_path):
    started = run(SLEEPER)
    wait_for_line(started)
    found = daemon.find(tmp_path / "records", "probe")
    assert found == started
    assert found.is_alive
    daemon.stop(found, folder=tmp_path / "records", grace_s=PATIENCE_S)
    assert not found.is_alive
    assert not psutil.pid_exists(found.pid)
    assert daemon.find(tmp_path / "records", "probe") is None


def test_its_output_is_in_the_log_and_its_world_is_as_asked(run, tmp_path):
    found = run("import os, sys; print(os.getcwd()); print(os.environ['A'], file=sys.stderr)", A="b")
    psutil.wait_procs([psutil.Process(found.pid)], timeout=PATIENCE_S)
    assert found.log == str(tmp_path / "records" / "probe.log")
    assert found.last_lines() == f"{tmp_path}\nb"
    assert found.last_lines(1) == "b"


def test_a_second_start_appends_to_the_log(run):
    for word in ("one", "two"):
        psutil.wait_procs([psutil.Process(run(f"print('{word}')").pid)], timeout=PATIENCE_S)
    assert run("").last_lines() == "one\ntwo"


def test_it_outlives_the_session_that_started_it(run, tmp_path):
    code = f"""
        import sys
        from pathlib import Path
        from tasks import daemon
        daemon.start("other", [sys.executable, "-c", {SLEEPER!r}],
                     folder=Path({str(tmp_path)!r}), environment={{}}, cwd=Path("/"))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, start_new_session=True)
    found = daemon.find(tmp_path, "other")
    assert found.is_alive
    daemon.stop(found, folder=tmp_path, grace_s=PATIENCE_S)
    assert not found.is_alive


def test_a_process_that_has_ended_is_not_alive(run, tmp_path):
    found = run("")
    psutil.wait_procs([psutil.Process(found.pid)], timeout=PATIENCE_S)
    assert not found.is_alive
    daemon.stop(found, folder=tmp_path / "records", grace_s=PATIENCE_S)
    assert daemon.find(tmp_path / "records", "probe") is None


def test_a_zombie_is_not_alive(run):
    found = run("")
    child = psutil.Process(found.pid)
    while child.status() != psutil.STATUS_ZOMBIE:  # nobody waits for it yet
        assert child.is_running()
    assert not found.is_alive


@pytest.fixture
def stranger():
    """A process that no record speaks of."""
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_a_reused_pid_is_never_signalled(stranger, tmp_path):
    started_at = psutil.Process(stranger.pid).create_time() - 60
    record = daemon.Daemon("probe", stranger.pid, started_at, str(tmp_path / "probe.log"))
    (tmp_path / "probe.json").write_text(json.dumps(dataclasses.asdict(record)))
    found = daemon.find(tmp_path, "probe")
    assert not found.is_alive
    daemon.stop(found, folder=tmp_path, grace_s=0.1)
    assert not (tmp_path / "probe.json").exists()
    stranger.send_signal(signal.SIGUSR1)
    assert stranger.wait() == -signal.SIGUSR1  # the signal just sent was its first


def test_its_children_are_stopped_too(run, tmp_path):
    found = run(PARENT)
    child = psutil.Process(int(wait_for_line(found)))
    daemon.stop(found, folder=tmp_path / "records", grace_s=0.5)
    assert not found.is_alive
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE  # where nobody collects orphans


def test_a_child_in_a_session_of_its_own_goes_on(run, tmp_path):
    found = run(PARENT.replace('time.sleep(600)"])', 'time.sleep(600)"], start_new_session=True)'))
    child = psutil.Process(int(wait_for_line(found)))
    daemon.stop(found, folder=tmp_path / "records", grace_s=PATIENCE_S)
    assert not found.is_alive
    assert child.is_running()
    child.kill()


def test_one_that_ignores_sigterm_is_killed(run, tmp_path):
    found = run(STUBBORN)
    wait_for_line(found)
    daemon.stop(found, folder=tmp_path / "records", grace_s=0.5)
    assert not found.is_alive


def test_without_a_record_there_is_none(tmp_path):
    assert daemon.find(tmp_path, "probe") is None


@pytest.mark.parametrize("text", ["", '{"name": "probe"}'], ids=["empty", "keys are missing"])
def test_a_damaged_record_names_the_way_out(tmp_path, text):
    (tmp_path / "probe.json").write_text(text)
    with pytest.raises(StackError, match=r"probe.json is damaged .*: end 'probe' by hand if it runs, and remove it"):
        daemon.find(tmp_path, "probe")


def test_a_log_that_is_gone_has_no_lines(tmp_path):
    assert daemon.Daemon("probe", 1, 0.0, str(tmp_path / "gone.log")).last_lines() == ""


@pytest.mark.parametrize("is_collected", [True, False], ids=["collected", "a zombie"])
def test_what_a_killed_one_left_behind_is_stopped_too(run, tmp_path, is_collected):
    found = run(PARENT)
    child = psutil.Process(int(wait_for_line(found)))
    killed = psutil.Process(found.pid)
    killed.kill()
    if is_collected:
        killed.wait(PATIENCE_S)
    else:
        os.waitid(os.P_PID, found.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
    assert not found.is_alive
    assert [process.pid for process in found.session()] == [child.pid]
    daemon.stop(found, folder=tmp_path / "records", grace_s=PATIENCE_S)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
