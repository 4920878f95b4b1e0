import base64
import dataclasses
import json

import numpy as np
import pytest

from serving.bundle.decode import decode_image
from serving.record_lines import Answered, PredictionLines, feedback_line, format_time, measure_each
from serving.records import COLUMNS, FEEDBACK_COLUMNS, STATISTICS, image_statistics
from tests.serving.recording import CLASSES, VERSION, make_images, make_prediction

TIME = 1_763_736_130.123456  # seconds since 1970
NO_LIMIT = 1 << 30


def make_lines(answered: Answered, *, has_images: bool = False, max_bytes: int = NO_LIMIT) -> list[bytes]:
    lines = PredictionLines(VERSION, CLASSES, has_images=has_images, max_bytes=max_bytes)
    return lines.format([(answered, index) for index in range(len(answered.images))])


@pytest.fixture
def answered() -> Answered:
    images = [*make_images(2), *make_images(2, seed=1, shape=(9, 5, 3)), *make_images(1, seed=2)]
    return Answered(TIME, 'req-"1"', images, make_prediction(5))


def test_a_line_says_all_to_the_bit(answered):
    lines = make_lines(answered)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    records = [json.loads(line) for line in lines]
    assert [record["index"] for record in records] == [0, 1, 2, 3, 4]
    for index, record in enumerate(records):
        probabilities = answered.prediction.probabilities[index]
        assert set(record) == {"kind", *(column.name for column in COLUMNS)} - {"label"}
        assert (record["kind"], record["request_id"], record["model_version"]) == ("prediction", 'req-"1"', VERSION)
        assert record["time"] == "2025-11-21T14:42:10.123456Z"
        assert record["predicted_class"] == CLASSES[probabilities.argmax()]
        assert np.float32(record["confidence"]) == probabilities.max()
        embedding = np.frombuffer(base64.b64decode(record["embedding"]), "<f4")
        np.testing.assert_array_equal(embedding, answered.prediction.embeddings[index])
        measured = dataclasses.asdict(image_statistics(answered.images[index]))
        for name in STATISTICS.names:
            assert np.float32(record[name]) == np.float32(measured[name])
    assert len({record["predicted_class"] for record in records}) > 1


def test_names_may_hold_anything(answered):
    class_line = dataclasses.replace(answered, prediction=make_prediction(5))
    class_line.prediction.probabilities[:] = [0, 0, 1]
    assert {json.loads(line)["predicted_class"] for line in make_lines(class_line)} == {'a "quoted" 100 %s'}


def test_an_image_is_there_where_it_is_asked_for(answered):
    records = [json.loads(line) for line in make_lines(answered, has_images=True)]
    for record, image in zip(records, answered.images, strict=True):
        np.testing.assert_array_equal(decode_image(base64.b64decode(record["image"]), 1000), image)


def test_a_line_too_long_is_written_without_its_image(answered):
    bare = make_lines(answered)
    with_images = make_lines(answered, has_images=True)
    longest = sorted(map(len, with_images))[2]
    limited = make_lines(answered, has_images=True, max_bytes=longest)
    expected = [full if len(full) <= longest else short for full, short in zip(with_images, bare, strict=True)]
    assert limited == expected
    assert set(limited) & set(bare)
    assert set(limited) & set(with_images)


def test_nothing_makes_no_lines():
    assert PredictionLines(VERSION, CLASSES, has_images=True, max_bytes=NO_LIMIT).format([]) == []


def test_images_of_many_shapes_are_measured_in_their_order(answered):
    assert measure_each(answered.images).tolist() == [
        dataclasses.astuple(image_statistics(image)) for image in answered.images
    ]


@pytest.mark.parametrize("image", [None, b"\x89PNG"])
def test_a_feedback_line(image):
    line = feedback_line(TIME, "req-1", 3, label="sandale à talon\u2028", image=image)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    record = json.loads(line)
    assert record.pop("image", None) == (None if image is None else base64.b64encode(image).decode())
    assert record == {
        "kind": "feedback", "time": "2025-11-21T14:42:10.123456Z", "request_id": "req-1", "index": 3,
        "label": "sandale à talon\u2028",
    }  # fmt: skip
    assert set(record) == {"kind", *(column.name for column in FEEDBACK_COLUMNS)} - {"image"}


def test_a_time_on_the_second_has_microseconds_too():
    assert format_time(0) == "1970-01-01T00:00:00.000000Z"
