import subprocess
import sys
import threading
import time

import psutil
import pytest

from tasks.errors import ReleaseError
from tasks.rollout import wait
from tasks.rollout.phases import Phase, ReleaseState
from tasks.rollout.status import (
    KEPT_ANSWERS,
    STALE_AFTER_S,
    Outcome,
    add_answer,
    find_answer,
    is_controller_alive,
    read_status,
    release_of,
    status_path,
    write_status,
)
from tasks.rollout.wait import wait_for_release

DONE = ReleaseState(
    Phase.SUCCEEDED,
    request_id="r1",
    version=3,
    reason="it is the champion",
    times=((Phase.BOOTING, 10.0), (Phase.VERIFYING, 16.0), (Phase.SUCCEEDED, 16.5)),
)


def alive(**more):
    mine = psutil.Process()
    return {"pid": mine.pid, "pid_started_s": mine.create_time(), "heartbeat_s": time.time(), **more}


def test_the_answer_to_a_request_has_its_reason_and_times(tmp_path):
    write_status(tmp_path, alive(answers=add_answer({}, DONE)))
    outcome = wait_for_release(tmp_path, "r1", print, timeout_s=1)
    assert outcome == Outcome("r1", "release", 3, True, "it is the champion", {"booting": 6.0, "verifying": 0.5})


def test_an_answer_counts_also_after_the_controllers_end(tmp_path):
    write_status(tmp_path, {**alive(answers=add_answer({}, DONE)), "heartbeat_s": 0})
    assert wait_for_release(tmp_path, "r1", print, timeout_s=1).is_success


def test_each_phase_is_reported_once_until_the_answer_comes(tmp_path):
    seen = []
    states = [ReleaseState(phase, request_id="r1") for phase in (Phase.BOOTING, Phase.PROGRESSING)]
    write_status(tmp_path, alive(release=states[0].to_json()))

    def report(phase):
        """Go on only when the phase before has been told of."""
        seen.append(phase)
        after = {"booting": {"release": states[1].to_json()}, "progressing": {"answers": add_answer({}, DONE)}}
        write_status(tmp_path, alive(**after[phase]))

    assert wait_for_release(tmp_path, "r1", report, timeout_s=10).is_success
    assert seen == ["booting", "progressing"]


def test_anothers_answer_is_not_ours(tmp_path):
    write_status(tmp_path, alive(answers=add_answer({}, DONE), last_error="MLflow is away"))
    with pytest.raises(ReleaseError, match=r"not answered within 0.2 s .*not begun, last error: MLflow is away"):
        wait_for_release(tmp_path, "r2", print, timeout_s=0.2)


EARLIER, LATER = "2026-01-01T00:00:00.000+00:00", "9999-01-01T00:00:00.000+00:00"


def seen(request, action, *, at):
    return {"registry": {"desired": {"id": request, "action": action, "version": 7, "who": "Bo", "asked_at": at}}}


@pytest.mark.parametrize(("action", "what"), [("release", "version 7"), ("rollback", "a rollback")])
def test_a_request_that_a_newer_one_has_replaced_is_given_up_at_once(tmp_path, action, what):
    write_status(tmp_path, alive(**seen("r2", action, at=LATER)))
    with pytest.raises(ReleaseError, match=f"superseded by request r2 of Bo for {what}"):
        wait_for_release(tmp_path, "r1", print, timeout_s=60)


@pytest.mark.parametrize(
    "status",
    [
        seen("r2", "release", at=EARLIER),
        seen("r1", "release", at=LATER),
        {**seen("r2", "release", at=LATER), "release": ReleaseState(Phase.BOOTING, request_id="r1").to_json()},
        {"registry": {"desired": None}},
    ],
    ids=["an earlier one, ours is not read yet", "ours", "ours is begun and will be answered", "none yet"],
)
def test_a_request_that_may_still_be_answered_is_waited_for(tmp_path, status):
    write_status(tmp_path, alive(**status))
    with pytest.raises(ReleaseError, match="not answered within"):
        wait_for_release(tmp_path, "r1", print, timeout_s=0.2)


@pytest.mark.parametrize("status", [None, {"heartbeat_s": 0.0}, {"heartbeat_s": time.time() - STALE_AFTER_S - 5}])
def test_without_a_controller_the_way_out_is_said(tmp_path, monkeypatch, status):
    monkeypatch.setattr(wait, "START_S", 0.1)
    if status is not None:
        write_status(tmp_path, {**alive(), **status})
    with pytest.raises(ReleaseError, match=r"no controller answers .*`evergreen up`"):
        wait_for_release(tmp_path, "r1", print, timeout_s=60)


def test_a_controller_that_ended_is_not_alive_whatever_its_heartbeat_says(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_status(tmp_path, {**alive(), "pid": ended.pid})
    assert not is_controller_alive(tmp_path)
    write_status(tmp_path, {**alive(), "pid_started_s": 1.0})
    assert not is_controller_alive(tmp_path), "the pid is another process's by now"
    write_status(tmp_path, alive())
    assert is_controller_alive(tmp_path)


def test_only_the_latest_answers_are_kept():
    answers = {}
    for number in range(KEPT_ANSWERS + 10):
        answers = add_answer(answers, ReleaseState(Phase.FAILED, request_id=f"r{number}"))
    assert len(answers) == KEPT_ANSWERS
    assert find_answer({"answers": answers}, "r9") is None
    assert find_answer({"answers": answers}, "r10") is not None


def test_readers_see_whole_states_only(tmp_path):
    stop = threading.Event()

    def write():
        while not stop.is_set():
            write_status(tmp_path, alive(release=DONE.to_json()))

    writer = threading.Thread(target=write)
    write_status(tmp_path, alive(release=DONE.to_json()))
    writer.start()
    try:
        found = {release_of(read_status(tmp_path)) for _ in range(300)}
    finally:
        stop.set()
        writer.join()
    assert found == {DONE}
    assert [path.name for path in (tmp_path / "controller").iterdir()] == ["state.json"]


def test_a_damaged_state_file_is_an_error_with_the_way_out(tmp_path):
    status_path(tmp_path).parent.mkdir()
    status_path(tmp_path).write_text("{")
    with pytest.raises(ReleaseError, match="remove the file"):
        read_status(tmp_path)
    with pytest.raises(ReleaseError, match="not a release state"):
        release_of({"release": {"phase": "dancing"}})
