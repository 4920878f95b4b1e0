"""What follows when a worker ends: decisions without processes."""

import signal

import pytest

from serving import exit_codes
from serving.restarts import Ending, Pulse, Reaction, count_deaths, judge_ending, restart_delay_s

END_ALL, RESTART = Reaction


@pytest.mark.parametrize(
    ("code", "was_ready", "is_first", "reaction"),
    [
        (exit_codes.BUNDLE_REFUSED, False, True, END_ALL),
        (exit_codes.NO_MODEL, False, True, END_ALL),
        (exit_codes.BUNDLE_REFUSED, False, False, RESTART),
        (exit_codes.NO_MODEL, True, True, RESTART),
        (-signal.SIGKILL, False, True, RESTART),
        (-signal.SIGSEGV, True, True, RESTART),
        (0, True, True, RESTART),
        (0, False, True, RESTART),
    ],
    ids=[
        "the bundle is refused", "the model cannot be loaded", "the bundle was changed later", "it broke later",
        "killed while loading", "crashed", "told to stop alone", "told to stop alone, early",
    ],
)  # fmt: skip
def test_only_a_server_that_cannot_begin_ends(code, was_ready, is_first, reaction):
    assert judge_ending(Ending(code, was_ready, lived_s=5, earlier=0), is_first=is_first) is reaction


def test_the_delay_grows_with_deaths_that_come_soon_and_has_an_end():
    delays, deaths = [], 0
    for _ in range(8):
        deaths = count_deaths(Ending(-signal.SIGKILL, was_ready=True, lived_s=3, earlier=deaths))
        delays.append(restart_delay_s(deaths))
    assert delays == [0, 1, 2, 4, 8, 16, 30, 30]
    assert restart_delay_s(100_000) == 30


def test_a_worker_that_lived_long_makes_a_new_beginning():
    assert count_deaths(Ending(-signal.SIGKILL, was_ready=True, lived_s=61, earlier=7)) == 1


def test_a_worker_is_lost_after_five_silent_looks_in_a_row():
    pulse = Pulse()
    beats = [7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8]
    assert [pulse.is_lost(number) for number in beats] == [False] * 10 + [True]
