"""The workers' shared states: who may call the server ready."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.board import Board, make_board_file
from serving.state import State

LOADING, READY, UNWELL, DRAINING, FAILED = State
AWAY = None


def test_a_new_board_is_loading():
    board = Board(2)
    assert [slot.state for slot in board.slots] == [LOADING, LOADING]
    assert (board.state, board.is_draining) == (LOADING, False)
    assert [(slot.number, slot.pid, slot.in_flight, slot.is_away) for slot in board.slots] == [
        (0, 0, 0, False), (1, 0, 0, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        ([READY, READY], READY),
        ([READY, LOADING], LOADING),
        ([READY, UNWELL], UNWELL),
        ([UNWELL, LOADING], UNWELL),
        ([READY, FAILED, UNWELL], FAILED),
        ([DRAINING, READY], DRAINING),
        ([READY, AWAY], READY),
        ([AWAY, UNWELL], UNWELL),
        ([AWAY, AWAY], LOADING),
        ([READY], READY),
        ([DRAINING], DRAINING),
    ],
)
def test_the_server_is_as_the_worst_off_of_those_that_take_requests(states, whole):
    board = Board(len(states))
    for slot, state in zip(board.slots, states, strict=True):
        if state is AWAY:
            slot.clear()
        else:
            slot.state = state
    assert board.state is whole


def test_one_flag_drains_all():
    board = Board(2)
    for slot in board.slots:
        slot.state = READY
    board.drain()
    assert [board.state, *(slot.state for slot in board.slots)] == [DRAINING] * 3


def test_a_cleared_slot_is_as_new_but_away():
    slot = Board(1).slots[0]
    slot.state, slot.pid, slot.in_flight = READY, 4_000_000, 128
    assert (slot.state, slot.pid, slot.in_flight) == (READY, 4_000_000, 128)
    slot.clear()
    assert (slot.state, slot.pid, slot.in_flight, slot.is_away) == (LOADING, 0, 0, True)


def test_slots_do_not_overlap():
    board = Board(3)
    for number, slot in enumerate(board.slots):
        slot.pid, slot.in_flight, slot.is_away, slot.state = 10 + number, 20 + number, number == 1, list(State)[number]
    assert [(slot.pid, slot.in_flight, slot.is_away, slot.state) for slot in board.slots] == [
        (10, 20, False, LOADING), (11, 21, True, READY), (12, 22, False, UNWELL),
    ]  # fmt: skip


def test_another_process_reads_and_writes_the_same_board():
    fd = make_board_file()
    board = Board(2, fd)
    board.slots[0].state = READY
    code = f"""
from serving.board import Board
board = Board(2, {fd})
assert board.slots[0].state == "ready"
board.slots[1].pid = 77
board.drain()
"""
    subprocess.run([sys.executable, "-c", code], check=True, pass_fds=(fd,), cwd=Path(__file__).parents[2])
    os.close(fd)
    assert (board.slots[1].pid, board.is_draining, board.state) == (77, True, DRAINING)


def test_a_pulse_never_overflows():
    slot = Board(2).slots[1]
    slot._words[slot._first + 4] = 2**32 - 1
    slot.beat()
    assert slot.beats == 0
    slot.beat()
    assert slot.beats == 1
