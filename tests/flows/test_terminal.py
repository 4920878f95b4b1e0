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
    assert "interrupted: what is in production goes on, and so does a release" in capsys.readouterr().err
