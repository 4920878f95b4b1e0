"""Segments on the disk: when they become visible, whose they are, how many stay."""

import errno
import logging
import os
import time
from pathlib import Path

import pytest

from serving import segments as module
from serving.segments import COMPLETE, OPEN
from tests.serving.recording import lines, make_segments, names, numbers, open_names, write_all


def test_a_segment_is_visible_when_it_is_complete_and_not_before(tmp_path):
    folder = tmp_path / "a" / "log"
    segments = make_segments(folder)
    segments.append(lines(1, 2))
    segments.append(lines(3))
    assert (names(folder), len(open_names(folder))) == ([], 1)
    segments.complete()
    assert (len(names(folder)), open_names(folder)) == (1, [])
    assert numbers(folder) == [1, 2, 3]
    segments.complete()  # of nothing
    assert len(list(folder.iterdir())) == 1


def test_what_is_written_is_in_the_file_at_once(tmp_path):
    segments = make_segments(tmp_path)
    segments.append(lines(1))
    assert (tmp_path / open_names(tmp_path)[0]).read_bytes() == lines(1)[0]


def test_a_full_segment_is_followed_by_the_next(tmp_path):
    segments = make_segments(tmp_path, segment_bytes=1000)
    write_all(segments, lines(*range(40), size=100))
    sizes = [(tmp_path / name).stat().st_size for name in names(tmp_path)]
    assert len(sizes) > 3
    assert all(900 < size <= 1000 for size in sizes)
    segments.complete()
    assert numbers(tmp_path) == list(range(40))


def test_append_says_how_many_lines_fitted(tmp_path):
    segments = make_segments(tmp_path, segment_bytes=1000)
    some = lines(*range(20), size=100)
    count = segments.append(some)
    assert len(b"".join(some[:count])) <= 1000 < len(b"".join(some[: count + 1]))


def test_a_line_longer_than_a_segment_is_one(tmp_path):
    segments = make_segments(tmp_path, segment_bytes=50)
    write_all(segments, lines(1, 2, size=100))
    segments.complete()
    assert len(names(tmp_path)) == 2
    assert numbers(tmp_path) == [1, 2]


def test_a_segment_is_complete_when_its_time_is_over_also_when_nothing_comes(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    segments = make_segments(tmp_path, segment_s=60)
    segments.tick()
    segments.append(lines(1))
    now[0] += 59.9
    segments.tick()
    assert names(tmp_path) == []
    now[0] += 0.2
    segments.tick()
    assert numbers(tmp_path) == [1]
    now[0] += 600
    segments.tick()
    assert len(list(tmp_path.iterdir())) == 1  # no empty ones
    segments.append(lines(2))
    now[0] += 59
    segments.tick()
    assert numbers(tmp_path) == [1]  # the time is the segment's own


def test_names_are_in_the_order_of_the_segments(tmp_path):
    segments = make_segments(tmp_path, segment_bytes=50)
    write_all(segments, lines(*range(30), size=60))
    segments.complete()
    assert numbers(tmp_path) == list(range(30))
    assert len(names(tmp_path)) == 30


def test_many_writers_share_a_folder(tmp_path):
    writers = [make_segments(tmp_path, segment_bytes=200) for _ in range(5)]
    for number in range(0, 100, 5):
        for offset, writer in enumerate(writers):
            write_all(writer, lines(number + offset, size=80))
    for writer in writers:
        writer.start()
        writer.complete()
    assert sorted(numbers(tmp_path)) == list(range(100))
    assert open_names(tmp_path) == []


def test_nobody_touches_a_living_writers_segment(tmp_path):
    living = make_segments(tmp_path)
    living.append(lines(1))
    other = make_segments(tmp_path)
    other.start()
    other.append(lines(2))
    other.complete()
    assert numbers(tmp_path) == [2]
    living.append(lines(3))
    living.complete()
    assert sorted(numbers(tmp_path)) == [1, 2, 3]
    assert other.cut == 0


def leave_open(folder, data: bytes, name: str = "segment-20200101T000000000000Z-aaaaaaaaaaaa-000001") -> str:
    """Leave a segment as a killed writer does: nobody holds its lock."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / f"{name}{COMPLETE}{OPEN}").write_bytes(data)
    return name + COMPLETE


@pytest.mark.parametrize(
    ("tail", "cut"),
    [(b"", 0), (b'{"n": 3, "fil', 1), (b"y" * 200_000, 1)],
    ids=["whole", "half a line", "half a long line"],
)
def test_what_a_killed_writer_left_is_completed(tmp_path, caplog, tail, cut):
    caplog.set_level(logging.INFO)
    name = leave_open(tmp_path, b"".join(lines(1, 2)) + tail)
    segments = make_segments(tmp_path)
    segments.start()
    assert names(tmp_path) == [name]
    assert open_names(tmp_path) == []
    assert numbers(tmp_path) == [1, 2]
    assert segments.cut == cut
    assert "completed a segment that was left open" in caplog.text


@pytest.mark.parametrize(("data", "cut"), [(b"", 0), (b'{"n"', 1)])
def test_one_without_a_line_is_removed(tmp_path, data, cut):
    leave_open(tmp_path, data)
    segments = make_segments(tmp_path)
    segments.start()
    assert list(tmp_path.iterdir()) == []
    assert segments.cut == cut


def test_a_sibling_that_was_killed_is_seen_to_at_the_next_segment_too(tmp_path):
    segments = make_segments(tmp_path)
    segments.start()
    leave_open(tmp_path, lines(1)[0])
    segments.append(lines(2))
    assert numbers(tmp_path) == [1]


def test_what_another_user_left_is_told_once_and_harms_nobody(tmp_path, monkeypatch, caplog):
    name = leave_open(tmp_path, lines(1)[0])
    real_open = os.open

    def refuse(path, flags, *rest):
        if str(path).endswith(name + OPEN):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_open(path, flags, *rest)

    monkeypatch.setattr(module.os, "open", refuse)
    segments = make_segments(tmp_path, segment_bytes=50)
    write_all(segments, lines(2, 3, 4, size=60))
    segments.complete()
    assert numbers(tmp_path) == [2, 3, 4]
    assert caplog.text.count("cannot be completed") == 1


def test_a_file_taken_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    """The other writer comes between the making and the locking of an open segment, and takes it for one left over."""
    other = make_segments(tmp_path)
    real_open, made = os.open, []

    def open_and_lose(path, flags, *rest):
        handle = real_open(path, flags, *rest)
        if flags & os.O_EXCL and not made:
            made.append(path)
            other.start()
        return handle

    monkeypatch.setattr(module.os, "open", open_and_lose)
    segments = make_segments(tmp_path)
    segments.append(lines(1))
    assert made
    assert not made[0].exists()
    segments.append(lines(2))
    segments.complete()
    assert numbers(tmp_path) == [1, 2]


def test_no_file_stays_open(tmp_path):
    def handles() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = handles()
    for _ in range(5):
        leave_open(tmp_path, lines(1)[0])
        segments = make_segments(tmp_path, segment_bytes=100)
        write_all(segments, lines(*range(10), size=60))
        segments.complete()
    assert handles() == before


def test_the_name_says_when_it_was_begun(tmp_path):
    segments = make_segments(tmp_path)
    segments.append(lines(1))
    (name,) = open_names(tmp_path)
    stamp = name.split("-")[1]
    assert stamp[:8] in {time.strftime("%Y%m%d", time.gmtime(time.time() - late)) for late in (0, 60)}
    assert stamp.endswith("Z")
