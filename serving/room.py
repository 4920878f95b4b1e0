"""How much a server takes on at a time: requests, and the bytes of their bodies and images.

Used on the event loop's thread alone.
"""

from serving.errors import UnavailableError

_WAY_OUT = "try again or elsewhere"


class Room:
    """Counts what is in flight, up to `max_requests` and `max_bytes`."""

    def __init__(self, *, max_requests: int, max_bytes: int) -> None:
        self.max_requests = max_requests
        self.max_bytes = max_bytes
        self.requests = 0
        self.bytes = 0

    def check_requests(self) -> None:
        """Look whether there is room for one more request; nothing is taken yet.

        Raises:
            UnavailableError: there is not.
        """
        if self.requests >= self.max_requests:
            raise UnavailableError(f"{self.max_requests} requests are in flight, the limit; {_WAY_OUT}")

    def check_bytes(self, size: int) -> None:
        """Look whether there is room for `size` bytes more; nothing is taken yet.

        Raises:
            UnavailableError: there is not.
        """
        if self.bytes + size > self.max_bytes:
            raise UnavailableError(
                f"{self.bytes} bytes are in flight, with {size} more it would be over the limit of {self.max_bytes}; "
                f"{_WAY_OUT}"
            )


class Ticket:
    """What one request holds of a room: its bytes as they come, its place once it is whole.

    A client that sends slowly takes nobody's place meanwhile.
    """

    __slots__ = ("_bytes", "_has_place", "_room")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._bytes = 0
        self._has_place = False

    def add_bytes(self, size: int) -> None:
        """Hold `size` bytes more.

        Raises:
            UnavailableError: there is no room for them.
        """
        self._room.check_bytes(size)
        self._room.bytes += size
        self._bytes += size

    def take_place(self) -> None:
        """Count as one of the requests in flight.

        Raises:
            UnavailableError: there are as many as the room takes.
        """
        self._room.check_requests()
        self._room.requests += 1
        self._has_place = True

    def leave(self) -> None:
        """Give all of it back."""
        self._room.bytes -= self._bytes
        self._room.requests -= self._has_place
        self._bytes, self._has_place = 0, False
