"""What the terminal shows of a stage, and of texts with brackets."""

import io

import pytest
from rich.console import Console

from flows import terminal
from tasks import progress


@pytest.fixture
def screen(monkeypatch):
    """A console that is a terminal or a log, and what it shows."""

    def make(*, is_terminal):
        console = Console(
            file=io.StringIO(), force_terminal=is_terminal, width=120, markup=False, emoji=False, no_color=True
        )
        monkeypatch.setattr(terminal, "console", console)
        return console.file

    return make


def test_a_log_gets_a_line_a_stage(screen):
    shown = screen(is_terminal=False)
    times = progress.StageTimes()
    with terminal.showing_progress():
        with times.measure("train"):
            progress.update("train", 1, 2, "epoch 1 [of 2]")
            progress.update("train", 2, 2)
            progress.say("[bold] a class named :smile:")
        with pytest.raises(ValueError, match="broken"), times.measure("register"):
            raise ValueError("broken")
    lines = shown.getvalue().splitlines()
    assert lines[0] == "[bold] a class named :smile:"
    assert lines[1].startswith("train: 0.")
    assert lines[1].endswith("s epoch 1 [of 2]")
    assert len(lines) == 2


def test_a_line_of_a_log_is_one_line_however_long(screen):
    shown = screen(is_terminal=False)
    with terminal.showing_progress():
        progress.say("word " * 100)
    assert len(shown.getvalue().splitlines()) == 1


def test_trainings_side_by_side_each_have_a_line(screen):
    shown = screen(is_terminal=False)
    times = progress.StageTimes()
    with terminal.showing_progress(), times.measure("train"):
        progress.update("train", detail="3 candidates, 2 at once")
        with times.measure("train small"), times.measure("train big"):
            progress.update("train big", 1, 2, "epoch 1")
            progress.update("train small", 1, 2, "epoch 7")
        progress.fail("train hot", "failed: the loss is nan")
    lines = [line.split(maxsplit=4) for line in shown.getvalue().splitlines()]
    assert [(line[0], line[1], line[-1]) for line in lines] == [
        ("train", "big:", "epoch 1"),
        ("train", "small:", "epoch 7"),
        ("train", "hot:", "loss is nan"),
        ("train:", "0.0", "candidates, 2 at once"),
    ]


def test_a_bar_that_failed_stays_and_says_why(screen):
    shown = screen(is_terminal=True)
    with terminal.showing_progress(), progress.StageTimes().measure("train"):
        progress.update("train hot", 1, 4, "epoch 1")
        progress.fail("train hot", "failed: the loss is nan")
    last = shown.getvalue().rpartition("train hot")
    assert "failed: the loss is nan" in last[2]
    assert not last[0].endswith("done ")


def test_a_terminal_gets_bars(screen):
    shown = screen(is_terminal=True)
    with terminal.showing_progress(), progress.StageTimes().measure("train"):
        progress.update("train", 1, 2, "epoch 1 [of 2]")
    last = shown.getvalue().rpartition("train")  # the last frame
    assert last[0].endswith("done ")
    assert "epoch 1 [of 2]" in last[2]


def test_an_interrupt_says_what_goes_on(capsys):
    with pytest.raises(KeyboardInterrupt), terminal.showing_progress():
        raise KeyboardInterrupt
    said = " ".join(capsys.readouterr().err.split())
    assert "interrupted: what is in production goes on, and so does a release" in said
    assert "left a checkpoint, and the next run goes on from there" in said
