"""The folders of steps: complete or not, held by one at a time, kept while they are of use."""

import os
import subprocess
import sys
import threading

import pytest

from tasks.steps.key import StepKey
from tasks.steps.lock import locked_if_free
from tasks.steps.store import RECORD, StepStore
from tests.conftest import ROOT

KEY = StepKey("train", {"seed": "1"})


def fail_to_wait(sentence: str) -> None:
    pytest.fail(sentence)


def key(number: int) -> StepKey:
    return StepKey("train", {"seed": str(number)})


@pytest.fixture
def store(tmp_path):
    return StepStore(tmp_path, kept=2)


def test_a_step_is_complete_with_its_record(store):
    with store.hold(KEY, fail_to_wait) as step:
        assert step.path == store.home / "steps" / "train" / KEY.digest[:16]
        (step.path / "weights.pt").write_bytes(b"half")
        assert step.record is None
    assert store.find(KEY) is None
    with store.hold(KEY, fail_to_wait) as step:
        assert (step.path / "weights.pt").read_bytes() == b"half"
        step.complete({"weights_sha256": "w"})
    found = store.find(KEY)
    assert (found.digest, found.parts, found.result) == (KEY.digest, KEY.parts, {"weights_sha256": "w"})


def test_what_is_cleared_is_not_complete(store):
    with store.hold(KEY, fail_to_wait) as step:
        step.complete({})
        step.clear()
        assert list(step.path.iterdir()) == []
    assert store.find(KEY) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"digest": "x"}', '{"digest": "x", "parts": {}, "result": {}}'])
def test_a_damaged_record_and_that_of_another_key_are_none(store, content):
    with store.hold(KEY, fail_to_wait) as step:
        step.complete({})
    (store.folder(KEY) / RECORD).write_text(content)
    assert store.find(KEY) is None


def make(store: StepStore, number: int, **result: object) -> None:
    with store.hold(key(number), fail_to_wait) as step:
        step.complete(result)
    os.utime(store.folder(key(number)), (number, number))


def kept(store: StepStore) -> list[int]:
    return [number for number in range(9) if store.find(key(number)) is not None]


def test_the_latest_is_the_one_used_last_of_its_kind(tmp_path):
    store = StepStore(tmp_path)
    assert store.latest("train") is None
    make(store, 1, candidate="a")
    make(store, 2, candidate="b")
    with store.hold(key(3), fail_to_wait):
        pass  # half done
    assert store.latest("train").parts == {"seed": "2"}
    assert store.latest("train", candidate="a").parts == {"seed": "1"}
    assert store.latest("train", candidate="c") is None
    with store.hold(key(1), fail_to_wait):
        pass
    assert store.latest("train").parts == {"seed": "1"}


def test_those_used_last_are_kept_and_others_go_with_their_locks(store):
    for number in (1, 2, 3):
        make(store, number)
    assert kept(store) == [2, 3]
    assert len(list((store.home / "steps" / "train").iterdir())) == 4


def test_a_step_in_use_is_not_removed(store):
    with store.hold(key(1), fail_to_wait) as step:
        step.complete({})
        os.utime(step.path, (1, 1))
        for number in (2, 3, 4):
            make(store, number)
        assert kept(store) == [1, 3, 4]
    assert kept(store) == [1, 4]  # it was in use until now


def test_two_never_hold_one_step(store):
    sentences, order = [], []
    waiting, entered = threading.Event(), threading.Event()

    def wait(sentence: str) -> None:
        sentences.append(sentence)
        waiting.set()

    def second() -> None:
        with store.hold(KEY, wait):
            order.append("second")
            entered.set()

    thread = threading.Thread(target=second)
    with store.hold(KEY, fail_to_wait):
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert entered.is_set()
    assert order == ["first", "second"]
    assert sentences == [f"wait for process {os.getpid()}, which is at the same step"]


def test_who_waited_for_a_step_that_was_removed_gets_a_new_one(store):
    waiting = threading.Event()
    found = []
    lock = store.folder(key(1)).with_name(f"{store.folder(key(1)).name}.lock")

    def second() -> None:
        with store.hold(key(1), lambda _: waiting.set()) as step:
            found.append((step.path.is_dir(), step.record))
            with locked_if_free(lock) as is_free:
                found.append(is_free)

    thread = threading.Thread(target=second)
    with store.hold(key(1), fail_to_wait) as step:
        step.complete({})
        thread.start()
        assert waiting.wait(10)
        step.clear()
        lock.unlink()  # as clearing up does, which holds it
    thread.join(10)
    assert found == [(True, None), False]


def test_a_killed_process_holds_nothing(store):
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tasks.steps.key import StepKey
from tasks.steps.store import StepStore
with StepStore(Path({str(store.home)!r})).hold(StepKey("train", {{"seed": "1"}}), print):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        process.kill()
        process.wait()
        with store.hold(KEY, fail_to_wait) as step:
            assert step.record is None
