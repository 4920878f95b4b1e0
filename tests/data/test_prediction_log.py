"""The prediction log as the server writes it and as it is read: the same to the bit, whatever else is damaged."""

import base64
import json
import re
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from serving.bundle.decode import decode_image
from serving.record_lines import feedback_line
from serving.records import COLUMNS, STATISTICS, measure_images
from tasks.data.prediction_log import Damage, list_segments, read_feedback, read_predictions
from tests.bundles import make_tiny_bundle
from tests.serving.recording import CLASSES, VERSION, make_images, make_limits, make_prediction, make_recorder

IMAGES = make_images(3)
PREDICTION = make_prediction(3)


def write_log(folder, requests: int = 50, *, version: str = VERSION, **plan) -> None:
    """Write a log of `requests` requests of three images, with a feedback after every fifth."""
    plan.setdefault("limits", make_limits(segment_bytes=10_000))
    recorder = make_recorder(folder, version=version, **plan)
    for number in range(requests):
        recorder.offer(f"req-{number}", IMAGES, PREDICTION)
        if number % 5 == 0:
            recorder.offer_line(feedback_line(1e9 + number, f"req-{number}", 1, label="bag", image=None))
    recorder.close(60)
    assert recorder.counts.dropped == 0


def read(reader, folder, **limits) -> tuple[pa.Table, Damage]:
    damage = Damage()
    return pa.Table.from_batches(reader(list_segments(folder), damage, **limits)), damage


def test_predictions_come_back_to_the_bit(tmp_path):
    write_log(tmp_path)
    table, damage = read(read_predictions, tmp_path)
    assert len(list_segments(tmp_path)) > 3
    assert damage == Damage()
    assert table.schema.names == [*(column.name for column in COLUMNS), "image"]
    assert table["request_id"].to_pylist() == [f"req-{number}" for number in range(50) for _ in range(3)]
    assert table["index"].to_pylist() == [0, 1, 2] * 50
    assert table["model_version"].unique().to_pylist() == [VERSION]
    winners = PREDICTION.probabilities.argmax(axis=1)
    assert table["predicted_class"].to_pylist() == [CLASSES[winner] for winner in winners] * 50
    assert table["confidence"].to_pylist() == PREDICTION.probabilities.max(axis=1).tolist() * 50
    assert table["embedding"].to_pylist() == PREDICTION.embeddings.tolist() * 50
    measured = measure_images(np.stack(IMAGES))
    for name in STATISTICS.names:
        assert table[name].to_pylist() == measured[name].tolist() * 50
    assert table["label"].null_count == table["image"].null_count == 150
    times = table["time"].to_pylist()
    assert times == sorted(times)
    assert str(times[0].tzinfo) == "UTC"


def test_it_has_the_types_of_a_reference(tmp_path, tiny_reference):
    write_log(tmp_path, 1)
    table, _ = read(read_predictions, tmp_path)
    assert table.schema.remove(table.schema.get_field_index("image")) == tiny_reference.remove_metadata()


@pytest.fixture(scope="module")
def tiny_reference(tmp_path_factory) -> pa.Schema:
    return pq.read_schema(make_tiny_bundle(tmp_path_factory.mktemp("bundle")) / "reference.parquet")


def test_feedback_is_apart(tmp_path):
    write_log(tmp_path)
    table, damage = read(read_feedback, tmp_path)
    assert damage == Damage()
    assert table.schema.names == ["time", "request_id", "index", "label", "image"]
    assert table["request_id"].to_pylist() == [f"req-{number}" for number in range(0, 50, 5)]
    assert table["label"].unique().to_pylist() == ["bag"]
    assert table["time"].cast(pa.int64()).to_pylist()[1] == (1e9 + 5) * 1e6


def test_images_come_as_files(tmp_path):
    write_log(tmp_path, 2, has_images=True)
    table, _ = read(read_predictions, tmp_path)
    for file, image in zip(table["image"].to_pylist(), IMAGES * 2, strict=True):
        np.testing.assert_array_equal(decode_image(file, 1000), image)


def test_two_versions_are_joined_on_the_request_and_the_place(tmp_path):
    for version, share in (("12", 0.5), ("13", 0.5)):
        write_log(tmp_path, version=version, share=share)
    table, _ = read(read_predictions, tmp_path)
    champion, canary = (table.filter(pc.equal(table["model_version"], version)) for version in ("12", "13"))
    keys = ["request_id", "index"]
    pairs = champion.select([*keys, "predicted_class"]).join(
        canary.select([*keys, "predicted_class"]), keys, right_suffix=" of the canary", join_type="inner"
    )
    assert 30 < champion.num_rows < 120
    assert pairs.num_rows == champion.num_rows == canary.num_rows


def test_open_segments_and_other_files_are_not_read(tmp_path):
    recorder = make_recorder(tmp_path)
    recorder.offer("a", IMAGES, PREDICTION)
    (tmp_path / "notes.txt").write_text("x")
    assert list_segments(tmp_path) == []
    recorder.close()
    assert len(list_segments(tmp_path)) == 1
    assert list_segments(tmp_path / "nothing") == []


def prediction(**changes) -> bytes:
    values = {
        "kind": "prediction", "time": "2026-11-21T14:42:10.123456Z", "request_id": "a", "index": 0,
        "model_version": "12", "predicted_class": "bag", "confidence": 0.5, "embedding": "AACAPwAAAEA=",
        "brightness": 0.1, "contrast": 0.2, "sharpness": 0, "height": 3, "width": 4, **changes,
    }  # fmt: skip
    return json.dumps({name: value for name, value in values.items() if value is not ...}).encode()


def write_segment(folder, *lines: bytes, end: bytes = b"\n"):
    folder.mkdir(exist_ok=True)
    (folder / "segment-a.jsonl").write_bytes(b"\n".join(lines) + end)


def test_the_example_line_is_right(tmp_path):
    write_segment(tmp_path, prediction(), prediction(**{"a key to come": 1}))
    table, damage = read(read_predictions, tmp_path)
    assert table["embedding"].to_pylist() == [[1.0, 2.0]] * 2
    assert damage.lines == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\0" * 100, "Expecting value"),
        (b"", "Expecting value"),
        (prediction()[:100], "Invalid control character"),
        (prediction()[:20] + b"\xff\xfe" + prediction()[20:], "codec can't decode"),
        (b"[" * 100_000, "recursion"),
        (b"[1]", "no record: its kind is None"),
        (b'{"kind": ["prediction"]}', r"no record: its kind is \['prediction'\]"),
        (prediction(kind="retired"), "no record: its kind is 'retired'"),
        (prediction(request_id=...), "no request_id"),
        (prediction(time=None), "no time"),
        (prediction(time="yesterday"), "time: Invalid isoformat"),
        (prediction(time="2026-11-21T14:42:10"), "time: a time without its zone"),
        (prediction(time=5), "time: fromisoformat"),
        (prediction(index=-1), "index: expected a whole number, got -1"),
        (prediction(index=True), "index: expected a whole number, got True"),
        (prediction(height=1 << 31), "height: expected a whole number"),
        (prediction(confidence="0.5"), "confidence: expected a number, got '0.5'"),
        (prediction(confidence=float("nan")), "confidence: expected a number, got nan"),
        (prediction(confidence=10**400), "confidence: expected a number, got 1000"),
        (prediction(confidence=1e39), "confidence: expected a number, got 1e\\+39"),
        (prediction(time="0001-01-01T00:00:00+14:00"), "time: date value out of range"),
        (prediction(embedding="AACAPw"), "embedding: .*padding"),
        (prediction(embedding="AACA"), "embedding: buffer size must be a multiple"),
        (prediction(embedding="AADAfw=="), "embedding: numbers that are not finite"),
        (prediction(embedding=[1.0]), "embedding: "),
        (prediction(image="AAAA"), "image: neither PNG nor JPEG"),
        (prediction(predicted_class=7), "predicted_class: expected text, got 7"),
        (prediction(predicted_class="\ud800"), "predicted_class: .*surrogates"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_line_is_left_out_counted_and_named(tmp_path, line, reason):
    write_segment(tmp_path, prediction(request_id="before"), line, prediction(request_id="after"))
    table, damage = read(read_predictions, tmp_path)
    assert table["request_id"].to_pylist() == ["before", "after"]
    assert damage.lines == 1
    (named,) = damage.named
    assert named.startswith("segment-a.jsonl:2: ")
    assert len(named) < 300
    assert re.search(reason, named), named


def test_a_half_last_line_is_damaged(tmp_path):
    write_segment(tmp_path, prediction(), prediction(), end=b"")
    table, damage = read(read_predictions, tmp_path)
    assert table.num_rows == 1
    assert damage.named == [f"segment-a.jsonl:2: no end of the line within {len(prediction())} bytes"]


def test_of_much_damage_the_first_is_named(tmp_path):
    write_segment(tmp_path, *[b"x"] * 1000, prediction())
    table, damage = read(read_predictions, tmp_path)
    assert (table.num_rows, damage.lines, len(damage.named)) == (1, 1000, 20)


def test_a_segment_that_goes_meanwhile_is_named(tmp_path):
    write_log(tmp_path)
    segments = list_segments(tmp_path)
    segments[1].unlink()
    damage = Damage()
    rows = sum(batch.num_rows for batch in read_predictions(segments, damage))
    assert 0 < rows < 150
    assert damage.gone == [segments[1].name]


@pytest.mark.parametrize(("limits", "expected"), [({"batch_rows": 7}, 7), ({"batch_bytes": 2000}, 7)])
def test_batches_are_small(tmp_path, limits, expected):
    write_log(tmp_path)
    sizes = [batch.num_rows for batch in read_predictions(list_segments(tmp_path), Damage(), **limits)]
    assert sum(sizes) == 150
    assert max(sizes) == expected
    assert min(sizes[:-1]) >= expected - 1


def test_memory_does_not_grow_with_the_log(tmp_path):
    image = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 100_000).decode()
    for number in range(8):
        lines = b"".join(prediction(image=image) + b"\n" for _ in range(20))
        (tmp_path / f"segment-{number}.jsonl").write_bytes(lines)

    def peak(segments) -> int:
        tracemalloc.start()
        for _ in read_predictions(segments, Damage(), batch_bytes=1_000_000):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    segments = list_segments(tmp_path)
    assert peak(segments) < 1.3 * peak(segments[:1]) < 10_000_000
