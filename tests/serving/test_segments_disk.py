"""The disk under the segments: how much of it they take, and what happens when there is none left."""

import errno
import logging
import os

import pytest

from serving import segments as module
from tests.serving.recording import lines, make_segments, numbers, open_names, write_all


def folder_bytes(folder) -> int:
    return sum(path.stat().st_size for path in folder.glob("segment-*"))


def test_the_folder_is_bounded_and_the_oldest_go_first(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "someone else's.txt").write_text("stays")
    segments = make_segments(tmp_path, max_bytes=20_000, segment_bytes=1000)
    most = 0
    for number in range(300):
        write_all(segments, lines(number, size=100))
        most = max(most, folder_bytes(tmp_path))
    segments.complete()
    kept = numbers(tmp_path)
    assert 15_000 < most <= 20_000
    assert kept == list(range(kept[0], 300))
    assert 100 < len(kept) < 200
    assert segments.removed > 10
    removed = [record for record in caplog.records if record.message == "removed the oldest segments"]
    assert sum(record.segments for record in removed) == segments.removed
    assert min(record.bytes for record in removed) > 0
    assert (tmp_path / "someone else's.txt").exists()


def test_writers_together_keep_to_the_bound(tmp_path):
    writers = [make_segments(tmp_path, max_bytes=20_000, segment_bytes=1000) for _ in range(4)]
    most = 0
    for number in range(150):
        for writer in writers:
            write_all(writer, lines(number, size=100))
            most = max(most, folder_bytes(tmp_path))
    assert 12_000 < most <= 20_000
    assert sum(writer.removed for writer in writers) > 20


def test_a_smaller_bound_holds_from_the_next_segment_on(tmp_path):
    first = make_segments(tmp_path, max_bytes=1_000_000, segment_bytes=1000)
    write_all(first, lines(*range(500), size=100))
    first.complete()
    second = make_segments(tmp_path, max_bytes=20_000, segment_bytes=1000)
    second.append(lines(500))
    assert folder_bytes(tmp_path) <= 20_000
    assert second.removed > 30


def test_a_small_bound_means_small_segments(tmp_path):
    assert make_segments(tmp_path, max_bytes=16_000, segment_bytes=16_000).segment_bytes == 1000


@pytest.fixture
def full_disk(monkeypatch):
    """A switch that makes each write stop half-way and fail, as on a full disk."""
    real_write, is_full = os.write, [False]

    def write(handle, data):
        if not is_full[0]:
            return real_write(handle, data)
        if len(data) > 10:
            return real_write(handle, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "write", write)
    return is_full


def test_a_write_that_fails_leaves_no_half_line(tmp_path, full_disk):
    segments = make_segments(tmp_path)
    segments.append(lines(1))
    full_disk[0] = True
    with pytest.raises(OSError, match="No space left"):
        segments.append(lines(2))
    assert (tmp_path / open_names(tmp_path)[0]).read_bytes() == lines(1)[0]
    full_disk[0] = False
    segments.append(lines(2))
    segments.complete()
    assert numbers(tmp_path) == [1, 2]


def test_a_half_line_that_cannot_be_taken_back_is_cut_off_later(tmp_path, full_disk, monkeypatch):
    segments = make_segments(tmp_path)
    segments.append(lines(1))
    full_disk[0] = True
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        with pytest.raises(OSError, match="No space left"):
            segments.append(lines(2))
    full_disk[0] = False
    segments.append(lines(2))
    segments.complete()
    assert numbers(tmp_path) == [1, 2]
    assert segments.cut == 1


def test_a_segment_in_which_nothing_could_be_written_leaves_no_file(tmp_path, full_disk):
    segments = make_segments(tmp_path)
    full_disk[0] = True
    with pytest.raises(OSError, match="No space left"):
        segments.append(lines(1))
    segments.complete()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_someone_removed_is_made_again(tmp_path):
    folder = tmp_path / "log"
    segments = make_segments(folder)
    segments.append(lines(1))
    (folder / open_names(folder)[0]).unlink()
    folder.rmdir()
    with pytest.raises(FileNotFoundError, match=r"segment-.* is gone, and \d+ bytes with it"):
        segments.tick()
    segments.append(lines(2))
    segments.complete()
    assert numbers(folder) == [2]
