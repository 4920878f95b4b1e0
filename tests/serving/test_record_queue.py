import pytest

from serving import record_queue
from serving.record_lines import Answered
from serving.record_queue import RecordQueue
from tests.serving.recording import make_images, make_prediction


def make_answered(name: str, count: int = 1, shape: tuple[int, ...] = (28, 28)) -> Answered:
    return Answered(0.0, name, make_images(count, shape=shape), make_prediction(count))


def take_all(queue: RecordQueue) -> list[tuple[list, list]]:
    pieces = []
    while any(piece := queue.take_piece()):
        pieces.append(piece)
    return pieces


def test_all_comes_out_in_its_order():
    queue = RecordQueue()
    entries = [make_answered("a", 3), b"line 1\n", make_answered("b", 50), b"line 2\n"]
    assert all(queue.put(entry) for entry in entries)
    assert len(queue) == 55
    pieces = take_all(queue)
    rows = [(answered.request_id, index) for rows, _ in pieces for answered, index in rows]
    assert rows == [("a", n) for n in range(3)] + [("b", n) for n in range(50)]
    assert [line for _, lines in pieces for line in lines] == [b"line 1\n", b"line 2\n"]
    assert len(queue) == 0


def test_pieces_are_small_however_large_a_request_is():
    queue = RecordQueue()
    queue.put(make_answered("many", 100))
    queue.put(make_answered("large", 3, shape=(400, 400, 3)))
    for _ in range(40):
        queue.put(b"line\n")
    pieces = take_all(queue)
    assert max(len(rows) + len(lines) for rows, lines in pieces) == 32
    large = [[name.request_id for name, _ in rows].count("large") for rows, _ in pieces]
    assert max(large) == 1
    assert sum(large) == 3


def test_it_takes_so_many_entries(monkeypatch):
    monkeypatch.setattr(record_queue, "MAX_ENTRIES", 3)
    queue = RecordQueue()
    assert [queue.put(entry) for entry in (make_answered("a", 9), b"x", b"y", b"z")] == [True, True, True, False]
    queue.take_piece()
    assert queue.put(b"z")


def test_it_takes_so_many_bytes(monkeypatch):
    entry = make_answered("a", 2)
    size = 2 * (28 * 28 + 3 * 4 + 8 * 4)
    monkeypatch.setattr(record_queue, "MAX_BYTES", 3 * size)
    queue = RecordQueue()
    assert [queue.put(entry) for _ in range(4)] == [True, True, True, False]
    assert not queue.put(b"x")
    take_all(queue)
    assert [queue.put(entry) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("entry", [make_answered("a", 3), b"x" * 3000])
def test_one_entry_alone_may_have_more(monkeypatch, entry):
    monkeypatch.setattr(record_queue, "MAX_BYTES", 1000)
    queue = RecordQueue()
    assert queue.put(entry)
    assert not queue.put(b"x")
    take_all(queue)
    assert queue.put(entry)
