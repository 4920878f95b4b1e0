"""`POST /feedback`, and predictions on their way into the log."""

import base64
import dataclasses
import json
import threading

import numpy as np
import pytest

from serving import segments
from serving.app import create_app
from serving.bundle.decode import decode_image
from serving.sampling import is_recorded
from serving.service import Service
from tests.bundles import make_images
from tests.serving.conftest import CLASSES, Client
from tests.serving.files import encode, png_header, random_image
from tests.serving.recording import read_lines, until

IMAGE = make_images(1, seed=5)[0]
PNG = encode(IMAGE, "PNG")
PNG_HEADERS = {"content-type": "image/png"}
PNG64 = base64.b64encode(PNG).decode()
RECORDED, NOT_RECORDED = (
    next(name for name in map(str, range(100)) if is_recorded(name, 0.5) is wanted) for wanted in (True, False)
)


@pytest.fixture
def recording(make_client, log_folder):
    """Make clients of servers that keep a log."""
    made = []

    def make(**settings) -> Client:
        made.append(make_client(record_folder=str(log_folder), **settings))
        return made[-1]

    yield make
    for client in made:
        client.service.close()


def send(client: Client, **values):
    return client.post("/feedback", json=values)


def test_feedback_is_taken_and_logged(recording, log_folder):
    client = recording()
    answer = send(client, request_id="req-1", label="a class nobody knows")
    assert answer.status_code == 202
    expected = {"request_id": "req-1", "index": 0, "label": "a class nobody knows"}
    assert answer.json() == {**expected, "image": "none"}
    client.service.close()
    (record,) = read_lines(log_folder)
    assert record.pop("time").endswith("Z")
    assert record == {"kind": "feedback", **expected}


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_that_is_sent_along_is_logged_as_it_came(recording, log_folder, kind):
    client = recording()
    file = encode(random_image(40, 30), kind)
    answer = send(client, request_id="req-1", label="bag", index=3, image=base64.b64encode(file).decode())
    assert answer.json() == {"request_id": "req-1", "index": 3, "label": "bag", "image": "sent"}
    client.service.close()
    (record,) = read_lines(log_folder)
    assert base64.b64decode(record["image"]) == file


def test_the_answer_says_whether_the_log_has_the_image(recording):
    assert send(recording(record_images=True), request_id="a", label="bag").json()["image"] == "logged"
    assert send(recording(record_images=False), request_id="a", label="bag").json()["image"] == "none"
    assert send(recording(record_images=True), request_id="a", label="bag", image=PNG64).json()["image"] == "sent"


def test_for_a_request_that_is_not_recorded_the_image_must_come_along(recording, log_folder):
    client = recording(record_share=0.5)
    answer = send(client, request_id=NOT_RECORDED, label="bag")
    assert answer.status_code == 422
    expected = f"request '{NOT_RECORDED}' is not among the 0.5 of all that are recorded: send its image along"
    assert answer.json()["error"] == expected
    assert send(client, request_id=NOT_RECORDED, label="bag", image=PNG64).status_code == 202
    assert send(client, request_id=RECORDED, label="bag").status_code == 202
    client.service.close()
    assert [record["request_id"] for record in read_lines(log_folder)] == [NOT_RECORDED, RECORDED]


GOOD = {"request_id": "req-1", "label": "bag"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"", "the body is empty"),
        ([GOOD], 'expected {"request_id": ..., "label": ...}, got [{'),
        ({"label": "bag"}, "request_id is None; expected the x-request-id of a prediction's answer"),
        ({**GOOD, "request_id": "two words"}, "request_id is 'two words'; expected"),
        ({**GOOD, "request_id": "x" * 129}, "request_id is 'xxx"),
        ({**GOOD, "request_id": 7}, "request_id is 7; expected"),
        ({"request_id": "a"}, "label is None; expected a class's name, 1 to 256 characters"),
        ({**GOOD, "label": ""}, "label is ''; expected"),
        ({**GOOD, "label": " \n"}, "label is ' \\n'; expected"),
        ({**GOOD, "label": "x" * 257}, "label is 'xxx"),
        (b'{"request_id": "a", "label": "\\ud800"}', "label is '\\ud800'; expected"),
        ({**GOOD, "label": 3}, "label is 3; expected"),
        ({**GOOD, "index": -1}, "index is -1; expected the image's place in its request, 0 to 1023"),
        ({**GOOD, "index": 1024}, "index is 1024; expected"),
        ({**GOOD, "index": True}, "index is True; expected"),
        ({**GOOD, "index": 1.0}, "index is 1.0; expected"),
        ({**GOOD, "image": 5}, "image is 5; expected a PNG or JPEG file in base64"),
        ({**GOOD, "image": "no base64!"}, "image is not base64: "),
        ({**GOOD, "image": base64.b64encode(b"text").decode()}, "image: not a PNG or JPEG: starts with b'text'"),
        ({**GOOD, "image": base64.b64encode(PNG[:90]).decode()}, "image: truncated PNG"),
        ({**GOOD, "image": base64.b64encode(png_header(30_000, 30_000)).decode()}, "image: 30000 x 30000 ="),
        ({**GOOD, "lable": "bag"}, "unknown key 'lable'; there are request_id, label, index, image"),
    ],
)
def test_what_is_no_feedback_is_refused(recording, log_folder, body, message):
    client = recording()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post("/feedback", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(message)
    assert set(answer.json()) == {"error", "request_id"}
    client.service.close()
    assert read_lines(log_folder) == []


def test_labels_may_be_of_any_writing(recording, log_folder):
    client = recording()
    labels = ["x" * 256, "靴", "sandale à talon", 'a "b" \\ c', "two\nlines", "a\u2028b\u00a0c", "👟"]
    for label in labels:
        assert send(client, request_id="a", label=label).status_code == 202
    client.service.close()
    assert [record["label"] for record in read_lines(log_folder)] == labels


def test_another_type_than_json_is_refused(recording):
    answer = recording().post("/feedback", content=b"a=b", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert "'text/plain' is not read here; expected application/json" in answer.json()["error"]


def test_an_image_that_no_segment_can_hold_is_refused(recording):
    client = recording(record_segment_bytes=1000)
    file = encode(random_image(30, 30), "PNG")
    answer = send(client, request_id="a", label="bag", image=base64.b64encode(file).decode())
    assert answer.status_code == 413
    assert "bytes, the limit is 1000" in answer.json()["error"]
    assert send(client, request_id="a", label="bag").status_code == 202


def test_a_server_without_a_log_says_so(client):
    answer = send(client, request_id="a", label="bag")
    assert answer.status_code == 404
    assert "this server keeps no prediction log: it was started without --record-folder" in answer.json()["error"]
    assert client.service.recorder is None


def test_while_loading_there_is_no_log_yet(settings, log_folder):
    loading = Client(create_app(Service(dataclasses.replace(settings, record_folder=str(log_folder)))))
    answer = send(loading, request_id="a", label="bag")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "the server is loading" in answer.json()["error"]


def test_a_log_that_cannot_be_written_takes_no_feedback(recording, monkeypatch):
    is_full = threading.Event()
    real_write = segments.os.write

    def write(handle, data):
        if is_full.is_set():
            raise OSError(28, "No space left on device")
        return real_write(handle, data)

    monkeypatch.setattr(segments.os, "write", write)
    client = recording()
    is_full.set()
    assert send(client, request_id="a", label="bag").status_code == 202  # nobody knows yet
    until(lambda: client.service.recorder.is_failing)
    answer = send(client, request_id="a", label="bag")
    assert answer.status_code == 503
    assert client.post("/predict", content=PNG, headers=PNG_HEADERS).status_code == 200
    is_full.clear()


def test_the_token_is_asked_for(recording):
    client = recording(token="secret")
    assert send(client, request_id="a", label="bag").status_code == 401
    headers = {"authorization": "Bearer secret"}
    assert client.post("/feedback", json=GOOD, headers=headers).status_code == 202


def test_predictions_of_both_protocols_are_recorded(recording, log_folder):
    client = recording(record_images=True)
    images = [IMAGE, random_image(9, 5)]
    sent = {"images": [base64.b64encode(encode(image, "PNG")).decode() for image in images]}
    answer = client.post("/predict", json=sent, headers={"x-request-id": "req-1"}).json()
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28], "data": IMAGE.ravel().tolist()}
    body = {"inputs": [tensor], "id": "theirs"}
    infer = client.post("/v2/models/fashion/infer", json=body, headers={"x-request-id": "req-2"})
    assert infer.status_code == 200
    client.post("/predict", content=b"no image", headers={**PNG_HEADERS, "x-request-id": "req-3"})
    client.service.close()
    records = read_lines(log_folder)
    assert [(record["request_id"], record["index"]) for record in records] == [
        ("req-1", 0), ("req-1", 1), ("req-2", 0),
    ]  # fmt: skip
    for record, told, image in zip(records, answer["predictions"], images, strict=False):
        assert record["predicted_class"] == told["label"] in CLASSES
        assert np.float32(record["confidence"]) == np.float32(told["probability"])
        np.testing.assert_array_equal(decode_image(base64.b64decode(record["image"]), 1000), image)
    assert {record["model_version"] for record in records} == {"12"}
    expected = client.service.model.predict([IMAGE]).embeddings[0]
    got = np.frombuffer(base64.b64decode(records[2]["embedding"]), "<f4")
    np.testing.assert_allclose(got, expected, atol=1e-6)
