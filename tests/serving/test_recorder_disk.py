"""The recorder and a disk that is full, away or unwritable: counted, logged once, tried again, bounded."""

import errno
import logging
import os
import shutil
import threading

import pytest

from serving import segments
from tests.serving.recording import CLASSES, Meter, make_limits, offer, read_lines, until


@pytest.fixture
def disk(monkeypatch):
    """A switch that fills the disk up."""
    real_write, is_full = os.write, threading.Event()

    def write(handle, data):
        if is_full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(handle, data)

    monkeypatch.setattr(segments.os, "write", write)
    monkeypatch.setattr("serving.recorder._RETRY_S", 0.01)
    return is_full


def test_a_full_disk_is_logged_once_counted_and_tried_again(recorders, log_folder, disk, caplog):
    caplog.set_level(logging.INFO)
    recorder = recorders()
    disk.set()
    offer(recorder, "a")
    until(lambda: recorder.counts.failed >= 5)
    offer(recorder, "b")
    assert recorder.is_failing
    assert not recorder.offer_line(b"{}\n")
    assert recorder.counts.written == 0
    disk.clear()
    until(lambda: not recorder.is_failing)
    assert recorder.offer_line(b'{"request_id": "c"}\n')
    recorder.close()
    assert [record["request_id"] for record in read_lines(log_folder)] == ["a", "b", "c"]  # nothing was lost
    assert recorder.counts.dropped == 0
    said = [record.message for record in caplog.records if record.name == "serving.recorder"]
    assert said == [
        "the prediction log cannot be written, and is tried again: [Errno 28] No space left on device",
        "the prediction log is written again",
    ]


def test_what_a_full_disk_did_not_take_until_the_end_is_dropped(recorders, disk, caplog):
    meter = Meter()
    recorder = recorders(meter)
    disk.set()
    offer(recorder, "a", 3)
    until(lambda: recorder.is_failing)
    offer(recorder, "b", 40)
    recorder.close()
    assert (recorder.counts.written, recorder.counts.dropped) == (0, 43)
    assert (meter.written, meter.dropped) == (0, 43)
    (record,) = [record for record in caplog.records if record.message.startswith("dropped")]
    assert record.records == 43


def test_a_folder_that_cannot_be_made_is_tried_again(recorders, log_folder, disk, caplog):
    log_folder.write_text("a file stands where the folder should be")
    recorder = recorders()
    offer(recorder, "a")
    until(lambda: recorder.is_failing)
    log_folder.unlink()
    until(lambda: not recorder.is_failing)
    recorder.close()
    assert read_lines(log_folder)[0]["request_id"] == "a"
    assert "File exists" in caplog.text


def test_a_folder_that_is_removed_is_made_again(recorders, log_folder, disk, caplog):
    recorder = recorders()
    offer(recorder, "a")
    until(lambda: recorder.counts.written == 1)
    shutil.rmtree(log_folder)
    until(lambda: recorder.counts.failed == 1)
    offer(recorder, "b")
    recorder.close()
    assert [record["request_id"] for record in read_lines(log_folder)] == ["b"]
    assert "is gone" in caplog.text


def test_the_disk_is_bounded(recorders, log_folder):
    recorder = recorders(limits=make_limits(max_bytes=100_000, segment_bytes=6_000))
    for number in range(1000):
        offer(recorder, f"req-{number}")
    recorder.close()
    assert recorder.counts.written == 1000
    assert recorder.counts.removed > 10
    assert sum(path.stat().st_size for path in log_folder.iterdir()) <= 100_000
    kept = [record["request_id"] for record in read_lines(log_folder)]
    assert kept == [f"req-{number}" for number in range(1000 - len(kept), 1000)]
    assert {record["predicted_class"] for record in read_lines(log_folder)} <= set(CLASSES)
