import pytest

from serving.errors import UnavailableError
from serving.room import Room, Ticket


@pytest.fixture
def room():
    return Room(max_requests=2, max_bytes=100)


def test_requests_up_to_the_limit_find_room(room):
    tickets = [Ticket(room) for _ in range(3)]
    for ticket in tickets[:2]:
        room.check_requests()
        ticket.take_place()
    with pytest.raises(UnavailableError, match=r"^2 requests are in flight, the limit; try again or elsewhere$"):
        room.check_requests()
    with pytest.raises(UnavailableError, match=r"2 requests are in flight"):
        tickets[2].take_place()
    tickets[1].add_bytes(1)  # of a request that has its place already
    tickets[2].leave()  # what it never had it does not give back
    assert (room.requests, room.bytes) == (2, 1)
    tickets[0].leave()
    tickets[0].leave()
    assert room.requests == 1
    tickets[2].take_place()
    assert room.requests == 2


def test_bytes_up_to_the_limit_find_room(room):
    one, other = Ticket(room), Ticket(room)
    one.add_bytes(60)
    room.check_bytes(40)
    with pytest.raises(
        UnavailableError, match=r"^60 bytes are in flight, with 41 more it would be over the limit of 100; try again"
    ):
        room.check_bytes(41)
    other.add_bytes(30)
    with pytest.raises(UnavailableError, match="90 bytes are in flight, with 11 more"):
        other.add_bytes(11)
    one.leave()
    assert room.bytes == 30
    other.add_bytes(70)
    other.leave()
    assert (room.bytes, room.requests) == (0, 0)
