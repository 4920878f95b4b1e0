import dataclasses
import json
import os
import signal
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest

from tasks.rollout.engines.process import KEPT_LOGS, ProcessEngine, instance_folder, stop_all_instances
from tests.rollout.running import spec_of, stub_command, until


def listening(engine):
    return until(lambda: next((found for found in engine.list() if found.port), None), what="listening")


def logged(instance):
    return Path(instance.log).read_text().strip()


def test_a_server_is_started_found_and_stopped(engine, bundle):
    started = engine.start(spec_of(bundle, 4))
    found = listening(engine)
    assert (found.id, found.version, found.pid) == (started.id, 4, started.pid)
    assert httpx.get(f"http://127.0.0.1:{found.port}/", trust_env=False).status_code == 200
    assert logged(found) == "starting"
    assert os.getsid(found.pid) == found.pid, "it would end with the controller's terminal"
    assert engine.stop(found, drain_s=5) is False
    until(lambda: all(engine.stop(instance, 5) for instance in engine.list()), what="its end")
    assert not psutil.pid_exists(found.pid)
    assert logged(found) == "starting", "the log outlives the server"


def test_another_engine_adopts_what_runs(engine, bundle):
    engine.start(spec_of(bundle))
    found = listening(engine)
    second = ProcessEngine(engine.folder, command=stub_command)
    assert second.list() == (found,)
    assert second.is_alive(found)


def test_a_server_whose_start_was_never_recorded_ends_by_itself(engine, bundle, monkeypatch):
    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine._records, "write", crash)
    with pytest.raises(KeyboardInterrupt):
        engine.start(spec_of(bundle))
    (child,) = engine._children.values()
    child.stdin.close()  # as the kernel does when the controller is killed
    assert child.wait(10) != 0
    assert engine.list() == ()


def test_a_server_that_ignores_the_signal_is_killed_after_its_time(engine, bundle, monkeypatch):
    started = engine.start(spec_of(bundle))
    listening(engine)
    os.kill(started.pid, signal.SIGSTOP)
    assert engine.stop(engine.list()[0], drain_s=60) is False
    assert engine.stop(engine.list()[0], drain_s=60) is False
    assert engine.is_alive(started), "it still has time"
    until(lambda: all(engine.stop(instance, -10) for instance in engine.list()), what="its end")
    assert not psutil.pid_exists(started.pid)


def test_a_process_that_got_the_pid_later_is_never_touched(engine, bundle):
    engine.start(spec_of(bundle))
    real = listening(engine)
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        reused = dataclasses.replace(real, id="v1-reused", pid=stranger.pid, pid_started_s=real.pid_started_s - 3600)
        assert not engine.is_alive(reused)
        assert engine.stop(reused, drain_s=-10) is True
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_that_ended_is_listed_and_not_alive(engine, bundle, tmp_path):
    refused = tmp_path / "refused"
    (refused / "golden").mkdir(parents=True)
    (refused / "golden" / "refuse").touch()
    engine.start(dataclasses.replace(spec_of(bundle), bundle=refused))
    (instance,) = engine.list()
    until(lambda: not engine.is_alive(instance), what="its end")
    assert logged(instance).splitlines() == ["starting", "the bundle is refused"]
    assert engine.list() == (instance,)
    assert engine.stop(instance, drain_s=5) is True
    assert engine.list() == ()


def test_a_damaged_record_is_left_alone(engine, caplog):
    engine.folder.mkdir(parents=True)
    (engine.folder / "torn.json").write_text('{"id": "v1-')
    (engine.folder / "other.json").write_text(json.dumps({"colour": "red"}))
    assert engine.list() == ()
    assert "torn.json" in caplog.text
    assert "other.json" in caplog.text
    assert len(list(engine.folder.glob("*.json"))) == 2


def test_old_logs_are_deleted_but_not_a_running_servers(engine, bundle):
    engine.start(spec_of(bundle))
    running = listening(engine)
    os.utime(running.log, (0, 0))
    for number in range(KEPT_LOGS + 5):
        path = engine.folder / f"old{number}.log"
        path.touch()
        os.utime(path, (number + 1, number + 1))
    engine.start(spec_of(bundle))
    left = {path.name for path in engine.folder.glob("*.log")}
    assert "old4.log" not in left
    assert "old5.log" in left
    assert f"{running.id}.log" in left


def test_all_servers_of_a_home_are_stopped(tmp_path, bundle):
    engine = ProcessEngine(instance_folder(tmp_path), command=stub_command)
    started = [engine.start(spec_of(bundle, version)) for version in (1, 2)]
    assert stop_all_instances(tmp_path, drain_s=1) == 2
    assert engine.list() == ()
    assert not any(engine.is_alive(instance) for instance in started)
    assert stop_all_instances(tmp_path, drain_s=1) == 0
