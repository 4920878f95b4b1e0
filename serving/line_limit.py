"""How many lines of a kind a log gets: a server that refuses thousands of requests a second has better things to do."""

_MOST_A_SECOND = 50


class LineLimit:
    """Lets so many lines a second through, and counts the others."""

    def __init__(self, most: int = _MOST_A_SECOND) -> None:
        self._most = most
        self._second = float("-inf")  # when the current one began
        self._lines = 0  # in it
        self._left_out = 0

    def take(self, now: float) -> int | None:
        """Return how many lines were left out just before this one, or None if this one is left out too.

        `now` is in seconds, of a clock that never goes back.
        """
        if now - self._second >= 1:
            self._second, self._lines = now, 0
        if self._lines == self._most:
            self._left_out += 1
            return None
        self._lines += 1
        left_out, self._left_out = self._left_out, 0
        return left_out
