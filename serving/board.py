"""The board on which the workers of a server read each other's state: a few words of memory that they share.

The memory is that of a file without a name, which workers inherit by its descriptor. Each word is aligned, written
at once and by one process: a reader sees the old value or the new one. There is no lock that a dead process could hold.
"""

import mmap
import os
import tempfile

from serving.state import State

_STATES = tuple(State)
_GRAVEST_FIRST = (State.FAILED, State.UNWELL, State.LOADING, State.DRAINING)

_WORD_BYTES = 4
_IS_DRAINING, _HEAD_WORDS = 0, 1
_STATE, _IS_AWAY, _PID, _IN_FLIGHT, _BEATS, _SLOT_WORDS = 0, 1, 2, 3, 4, 5
_MOST = 2**32


class Board:
    """A slot for each worker, and one word for all: whether the server drains."""

    def __init__(self, workers: int, fd: int | None = None) -> None:
        """Make a board for this process alone or, over the file `fd`, find that of all who inherited it."""
        size = _WORD_BYTES * (_HEAD_WORDS + workers * _SLOT_WORDS)
        if fd is not None:
            os.ftruncate(fd, size)
        self._words = memoryview(mmap.mmap(-1 if fd is None else fd, size)).cast("I")
        self.slots = tuple(Slot(self, self._words, number) for number in range(workers))

    @property
    def is_draining(self) -> bool:
        """Whether the server was told to stop."""
        return bool(self._words[_IS_DRAINING])

    def drain(self) -> None:
        """Make the whole server unready, at once and for good."""
        self._words[_IS_DRAINING] = 1

    @property
    def state(self) -> State:
        """The server's state: ready when every worker is that takes requests, else that of the worst off."""
        if self.is_draining:
            return State.DRAINING
        states = {slot.state for slot in self.slots if not slot.is_away}
        if states == {State.READY}:
            return State.READY
        return next((state for state in _GRAVEST_FIRST if state in states), State.LOADING)


class Slot:
    """One worker's words. All but `is_away` are its own to write while it lives."""

    def __init__(self, board: Board, words: "memoryview[int]", number: int) -> None:
        self.board = board
        self.number = number
        self._words = words
        self._first = _HEAD_WORDS + number * _SLOT_WORDS

    @property
    def state(self) -> State:
        """The worker's own state; draining too when the whole server does."""
        return State.DRAINING if self.board.is_draining else _STATES[self._words[self._first + _STATE]]

    @state.setter
    def state(self, state: State) -> None:
        self._words[self._first + _STATE] = _STATES.index(state)

    @property
    def is_away(self) -> bool:
        """Whether the worker takes no requests, so that its state does not count: the others answer."""
        return bool(self._words[self._first + _IS_AWAY])

    @is_away.setter
    def is_away(self, is_away: bool) -> None:
        self._words[self._first + _IS_AWAY] = is_away

    @property
    def pid(self) -> int:
        """The worker's process; 0 before it began."""
        return self._words[self._first + _PID]

    @pid.setter
    def pid(self, pid: int) -> None:
        self._words[self._first + _PID] = pid

    @property
    def in_flight(self) -> int:
        """How many requests the worker is answering."""
        return self._words[self._first + _IN_FLIGHT]

    @in_flight.setter
    def in_flight(self, requests: int) -> None:
        self._words[self._first + _IN_FLIGHT] = requests

    @property
    def beats(self) -> int:
        """A number that changes as long as the worker's event loop runs."""
        return self._words[self._first + _BEATS]

    def beat(self) -> None:
        """Change it."""
        self._words[self._first + _BEATS] = (self.beats + 1) % _MOST

    def clear(self) -> None:
        """Take a dead worker away; its successor begins anew."""
        self.is_away = True
        self.state, self.pid, self.in_flight = State.LOADING, 0, 0


def make_board_file() -> int:
    """Return a new file without a name, in memory where the system has that; the caller closes it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("evergreen-board")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
