"""Work reports how far it is, to whoever listens."""

import pytest

from tasks import progress


class Recorder:
    """A listener that keeps what it heard."""

    def __init__(self):
        self.heard = []

    def update(self, stage, done, total, detail):
        self.heard.append(("update", stage, done, total, detail))

    def finish(self, stage, seconds):
        self.heard.append(("finish", stage, seconds >= 0))

    def fail(self, stage, reason):
        self.heard.append(("fail", stage, reason))

    def say(self, text):
        self.heard.append(("say", text))


@pytest.fixture
def recorder():
    recorder = Recorder()
    with progress.listening(recorder):
        yield recorder


def test_a_stage_is_shown_from_its_start_to_its_end(recorder):
    with progress.StageTimes().measure("train"):
        progress.update("train", 1, 2, "half")
        progress.say("look")
    assert recorder.heard == [
        ("update", "train", 0, 0, ""),
        ("update", "train", 1, 2, "half"),
        ("say", "look"),
        ("finish", "train", True),
    ]


def test_a_stage_that_raises_is_counted_and_not_shown_as_over(recorder):
    times = progress.StageTimes()
    with pytest.raises(ValueError, match="broken"), times.measure("train"):
        raise ValueError("broken")
    assert list(times) == ["train"]
    assert recorder.heard == [("update", "train", 0, 0, "")]


def test_a_stage_may_fail_while_others_go_on(recorder):
    progress.fail("train big", "it diverged")
    progress.update("train small", 1, 2)
    assert recorder.heard == [("fail", "train big", "it diverged"), ("update", "train small", 1, 2, "")]


def test_stages_stand_in_their_order_and_add_up(monkeypatch):
    clock = iter([0.0, 1.0, 10.0, 12.0, 20.0, 24.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    times = progress.StageTimes()
    for stage in ("data", "train", "data"):
        with times.measure(stage):
            pass
    assert list(times.items()) == [("data", 5.0), ("train", 2.0)]


def test_nobody_need_listen():
    with progress.StageTimes().measure("data"):
        progress.update("data", 1, 2)
        progress.say("nobody hears it")


def test_a_listener_hears_nothing_after_its_block_even_one_that_raised():
    recorder = Recorder()
    with pytest.raises(ValueError, match="broken"), progress.listening(recorder):
        raise ValueError("broken")
    progress.say("late")
    assert recorder.heard == []
