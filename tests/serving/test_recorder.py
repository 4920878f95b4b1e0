"""The recorder: what is offered is written, in time; what cannot be is counted, and harms no request."""

import os
import threading
import time

import numpy as np
import pytest

from serving import record_queue, segments
from serving.prediction import Prediction
from serving.sampling import is_recorded
from tests.serving.recording import (
    Meter,
    make_images,
    make_limits,
    make_prediction,
    names,
    offer,
    open_names,
    read_lines,
    until,
)


def test_what_is_offered_is_written_in_its_order(recorders, log_folder):
    meter = Meter()
    recorder = recorders(meter)
    for number in range(200):
        offer(recorder, f"req-{number}", 1 + number % 3, seed=number)
    assert recorder.offer_line(b'{"kind": "feedback"}\n')
    recorder.close()
    records = read_lines(log_folder)
    expected = [(f"req-{number}", index) for number in range(200) for index in range(1 + number % 3)]
    assert [(record["request_id"], record["index"]) for record in records[:-1]] == expected
    assert records[-1] == {"kind": "feedback"}
    assert recorder.counts.written == meter.written == len(expected) + 1
    assert recorder.counts.dropped == meter.dropped == 0


def test_the_time_is_that_of_the_offer_in_utc(recorders, log_folder):
    recorder = recorders()
    before = time.time()
    offer(recorder, "a")
    after = time.time()
    recorder.close()
    stamp = read_lines(log_folder)[0]["time"]
    seconds, _, fraction = stamp.removesuffix("Z").partition(".")
    told = time.mktime(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S")) - time.timezone + float(f"0.{fraction}")
    assert before - 1e-5 <= told <= after + 1e-5


def test_two_versions_record_the_same_requests(recorders, log_folder):
    offered = [f"req-{number}" for number in range(500)]
    chosen = [name for name in offered if is_recorded(name, 0.2)]
    for _ in range(2):
        recorder = recorders(share=0.2)
        for name in offered:
            offer(recorder, name)
        recorder.close()
        assert recorder.counts.written == len(chosen)
        assert recorder.counts.dropped == 0  # what is not chosen is not lost
    assert sorted(record["request_id"] for record in read_lines(log_folder)) == sorted(chosen * 2)


def test_a_line_is_written_whatever_the_share(recorders, log_folder):
    recorder = recorders(share=0.0)
    offer(recorder, "a")
    assert recorder.offer_line(b"{}\n")
    recorder.close()
    assert read_lines(log_folder) == [{}]


def test_it_is_on_the_disk_without_being_closed(recorders, log_folder):
    recorder = recorders()
    offer(recorder, "a")
    until(lambda: recorder.counts.written == 1)
    assert (log_folder / open_names(log_folder)[0]).read_bytes().endswith(b"}\n")


def test_a_segment_becomes_visible_when_its_time_is_over_and_nothing_comes(recorders, log_folder):
    recorder = recorders(limits=make_limits(segment_s=0.05))
    offer(recorder, "a")
    until(lambda: log_folder.exists() and names(log_folder))
    assert read_lines(log_folder)[0]["request_id"] == "a"


def test_what_a_predecessor_left_open_is_complete_before_anything_is_written(recorders, log_folder):
    log_folder.mkdir()
    (log_folder / f"segment-2020-a-1{segments.COMPLETE}{segments.OPEN}").write_bytes(b'{"n": 1}\n{"n"')
    recorder = recorders()
    until(lambda: names(log_folder))
    assert read_lines(log_folder) == [{"n": 1}]
    assert recorder.counts.cut == 1


def test_many_shapes_and_images(recorders, log_folder):
    recorder = recorders(has_images=True, limits=make_limits(segment_bytes=5_000_000))
    shapes = [(28, 28), (600, 600, 3), (1, 1), (28, 28), (3, 700)]
    for number, shape in enumerate(shapes):
        offer(recorder, f"req-{number}", shape=shape)
    recorder.close()
    records = read_lines(log_folder)
    assert [(record["height"], record["width"]) for record in records] == [shape[:2] for shape in shapes]
    assert [len(record["image"]) > 60 for record in records] == [True] * 5


def test_offering_holds_no_batch_alive(recorders):
    batch = make_prediction(64)
    assert batch.probabilities.base is None
    part = Prediction(batch.probabilities[3:4], batch.embeddings[3:4])
    recorder = recorders()
    kept = []
    recorder._queue.put = lambda entry: not kept.append(entry)
    recorder.offer("a", make_images(1), part)
    assert kept[0].prediction.probabilities.base is None
    assert kept[0].prediction.embeddings.base is None
    np.testing.assert_array_equal(kept[0].prediction.embeddings, part.embeddings)


@pytest.fixture
def held(monkeypatch):
    """Hold the writer up at its first write until the event is set."""
    release, reached = threading.Event(), threading.Event()
    real_write = os.write

    def write(handle, data):
        reached.set()
        assert release.wait(60)
        return real_write(handle, data)

    monkeypatch.setattr(segments.os, "write", write)
    yield reached, release
    release.set()


def test_a_full_queue_drops_and_counts_and_does_not_wait(recorders, log_folder, held, monkeypatch):
    monkeypatch.setattr(record_queue, "MAX_ENTRIES", 10)
    reached, release = held
    meter = Meter()
    recorder = recorders(meter)
    offer(recorder, "first")
    assert reached.wait(60)
    for number in range(15):
        offer(recorder, f"req-{number}", 2)  # with the writer held up, this returns or the test hangs
    assert not recorder.offer_line(b"{}\n")
    assert recorder.counts.dropped == 5 * 2 + 1
    release.set()
    recorder.close()
    assert (recorder.counts.written, recorder.counts.dropped) == (1 + 10 * 2, 11)
    assert (meter.written, meter.dropped) == (21, 11)
    assert [record["request_id"] for record in read_lines(log_folder)][-1] == "req-9"


def test_closing_waits_no_longer_than_it_is_told(recorders, held, caplog):
    reached, release = held
    recorder = recorders()
    offer(recorder, "a")
    assert reached.wait(60)
    recorder.close(0.01)
    assert "the prediction log is not written to its end: that takes more than 0.01 s" in caplog.text
    release.set()
    recorder.close()
    assert recorder.counts.written == 1


def test_after_the_end_offers_are_dropped(recorders, log_folder):
    recorder = recorders()
    recorder.close()
    offer(recorder, "a", 2)
    assert not recorder.offer_line(b"{}\n")
    assert recorder.counts.dropped == 3
    assert list(log_folder.iterdir()) == []


def test_what_cannot_be_measured_is_dropped_and_the_rest_goes_on(recorders, log_folder, caplog):
    recorder = recorders()
    recorder.offer("odd", [np.zeros((0, 0), np.uint8)], make_prediction(0))
    until(lambda: recorder.counts.dropped == 1)
    recorder.offer("odd", [np.zeros((0, 0), np.uint8)], make_prediction(0))
    until(lambda: recorder.counts.dropped == 2)
    offer(recorder, "a")
    recorder.close()
    assert [record["request_id"] for record in read_lines(log_folder)] == ["a"]
    assert caplog.text.count("predictions cannot be recorded") == 1
