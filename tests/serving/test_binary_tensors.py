"""The binary tensor extension and the ranked classes, byte by byte."""

import json
import struct

import numpy as np
import pytest

from tests.bundles import EMBEDDING_SIZE, make_images
from tests.serving.conftest import CLASSES

INFER = "/v2/models/fashion/infer"
LENGTH = "inference-header-content-length"
IMAGES = np.stack(make_images(3, seed=2))
PIXELS = IMAGES.tobytes()


def binary_input(size=IMAGES.size, shape=IMAGES.shape, **changes):
    return {
        "name": "image",
        "datatype": "UINT8",
        "shape": list(shape),
        "parameters": {"binary_data_size": size},
        **changes,
    }


def infer(client, request, pixels=PIXELS, *, length=None, headers=None):
    text = json.dumps(request).encode()
    headers = {LENGTH: str(len(text)) if length is None else length, **(headers or {})}
    return client.post(INFER, content=text + pixels, headers=headers)


def read(response) -> dict[str, tuple[dict, bytes | None]]:
    """Return each output's description and its bytes; None where it is in the JSON."""
    assert response.status_code == 200, response.text
    length = response.headers.get(LENGTH)
    content = response.content
    end = len(content) if length is None else int(length)
    outputs, rest = {}, content[end:]
    for output in json.loads(content[:end])["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        outputs[output["name"]] = (output, None if size is None else rest[:size])
        rest = rest if size is None else rest[size:]
    assert not rest
    return outputs


def texts(data: bytes) -> list[str]:
    found = []
    while data:
        (size,) = struct.unpack("<I", data[:4])
        found.append(data[4 : 4 + size].decode())
        data = data[4 + size :]
    return found


@pytest.mark.parametrize("content_type", ["application/octet-stream", "application/json", None])
def test_all_outputs_as_bytes(client, content_type):
    request = {"inputs": [binary_input()], "parameters": {"binary_data_output": True}}
    response = infer(client, request, headers=content_type and {"content-type": content_type})
    outputs = read(response)
    expected = client.service.model.predict(list(IMAGES))
    assert response.headers["content-type"] == "application/octet-stream"
    assert int(response.headers["content-length"]) == len(response.content)
    assert [(name, o["datatype"], o["shape"]) for name, (o, _) in outputs.items()] == [
        ("probabilities", "FP32", [3, len(CLASSES)]),
        ("embedding", "FP32", [3, EMBEDDING_SIZE]),
        ("class", "INT64", [3]),
        ("label", "BYTES", [3]),
    ]
    assert not any("data" in output for output, _ in outputs.values())
    probabilities = np.frombuffer(outputs["probabilities"][1], "<f4").reshape(3, -1)
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-6)
    embeddings = np.frombuffer(outputs["embedding"][1], "<f4").reshape(3, -1)
    np.testing.assert_allclose(embeddings, expected.embeddings, atol=1e-6)
    winners = expected.probabilities.argmax(axis=1)
    assert np.frombuffer(outputs["class"][1], "<i8").tolist() == winners.tolist()
    assert texts(outputs["label"][1]) == [CLASSES[index] for index in winners]


def test_bytes_in_and_json_out_give_the_answer_of_json_in(client):
    by_bytes = infer(client, {"id": "a", "inputs": [binary_input()]})
    in_json = {"name": "image", "datatype": "UINT8", "shape": [3, 28, 28], "data": IMAGES.tolist()}
    by_json = client.post(INFER, json={"id": "a", "inputs": [in_json]})
    assert by_bytes.json() == by_json.json()
    assert by_bytes.headers["content-type"] == "application/json"
    assert LENGTH not in by_bytes.headers


@pytest.mark.parametrize(
    ("asked", "request_says", "binary"),
    [
        ([("class", True), ("label", None), ("probabilities", False)], False, {"class"}),
        ([("class", True), ("label", None), ("probabilities", False)], True, {"class", "label"}),
        ([("label", True), ("class", True), ("embedding", None)], None, {"label", "class"}),
    ],
)
def test_an_output_overrides_what_the_request_says(client, asked, request_says, binary):
    outputs = [{"name": name, **({} if own is None else {"parameters": {"binary_data": own}})} for name, own in asked]
    parameters = {} if request_says is None else {"binary_data_output": request_says}
    found = read(infer(client, {"inputs": [binary_input()], "outputs": outputs, "parameters": parameters}))
    assert list(found) == [name for name, _ in asked]
    assert {name for name, (_, data) in found.items() if data is not None} == binary


@pytest.mark.parametrize("is_binary", [True, False])
@pytest.mark.parametrize("top", [1, 3, len(CLASSES)])
def test_classes_are_ranked_as_texts(client, top, is_binary):
    parameters = {"classification": top, "binary_data": is_binary}
    request = {"inputs": [binary_input()], "outputs": [{"name": "probabilities", "parameters": parameters}]}
    output, data = read(infer(client, request))["probabilities"]
    found = texts(data) if is_binary else output["data"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [3, top])
    expected = client.service.model.predict(list(IMAGES)).probabilities
    ranked = [text.split(":") for text in found]
    assert [int(index) for _, index, _ in ranked] == np.argsort(-expected, axis=1)[:, :top].ravel().tolist()
    assert [label for *_, label in ranked] == [CLASSES[int(index)] for _, index, _ in ranked]
    np.testing.assert_allclose(
        [float(value) for value, *_ in ranked], -np.sort(-expected, axis=1)[:, :top].ravel(), atol=1e-6
    )


SIZED = "Inference-Header-Content-Length"


@pytest.mark.parametrize(
    ("request_body", "pixels", "length", "sentence"),
    [
        ({"inputs": [binary_input()]}, PIXELS[:-1], None, "has 2352 bytes after the JSON, the body has 2351"),
        ({"inputs": [binary_input()]}, PIXELS + b"x", None, "has 2352 bytes after the JSON, the body has 2353"),
        ({"inputs": [binary_input(shape=(3, 28, 27))]}, PIXELS, None, "needs 2268 values"),
        ({"inputs": [binary_input(data=[0])]}, PIXELS, None, "either data or the parameter 'binary_data_size'"),
        ({"inputs": [binary_input(parameters={})]}, b"", None, "either data or the parameter 'binary_data_size'"),
        ({"inputs": [binary_input(parameters={}, data=[0], shape=[1, 1, 1])]}, b"x", None, "the body has 1 there"),
        ({"inputs": [binary_input(size="9")]}, b"", None, "'binary_data_size' is '9'; expected a whole number from 0"),
        ({"inputs": [binary_input(size=-1)]}, b"", None, "'binary_data_size' is -1; expected a whole number from 0"),
        ({"inputs": [binary_input(size=True)]}, b"", None, "'binary_data_size' is True; expected a whole number"),
        ({"inputs": [binary_input(parameters=[1])]}, b"", None, "the parameters of input 'image' are [1]"),
        ({"inputs": [binary_input(parameters={"x": None})]}, b"", None, "the parameter 'x' of input 'image' is None"),
        (
            {"inputs": [binary_input(parameters={"shared_memory_region": "a"})]}, b"", None,
            "input 'image' is in shared memory, which this server does not read: send the data",
        ),
        ({"inputs": [binary_input()]}, b"", "0", f"{SIZED} is '0'; expected the length of the JSON, from 1 to"),
        ({"inputs": [binary_input()]}, b"", "1000000", f"{SIZED} is '1000000'; expected the length of the JSON"),
        ({"inputs": [binary_input()]}, b"", "-5", f"{SIZED} is '-5'; expected the length of the JSON"),
        ({"inputs": [binary_input()]}, b"", "x", f"{SIZED} is 'x'; expected the length of the JSON"),
        ({"inputs": [binary_input()]}, b"", "9", "the body is not JSON"),
        (
            {"inputs": [binary_input()], "parameters": {"binary_data_output": "yes"}}, PIXELS, None,
            "the parameter 'binary_data_output' is 'yes'; expected true or false",
        ),
        (
            {"inputs": [binary_input()], "outputs": [{"name": "class", "parameters": {"binary_data": 1}}]},
            PIXELS, None, "the parameter 'binary_data' is 1; expected true or false",
        ),
        (
            {"inputs": [binary_input()], "outputs": [{"name": "class", "parameters": {"classification": 1}}]},
            PIXELS, None, "'classification' is for the output 'probabilities', not for 'class'",
        ),
        (
            {"inputs": [binary_input()], "outputs": [{"name": "probabilities", "parameters": {"classification": 8}}]},
            PIXELS, None, "the parameter 'classification' is 8; expected a whole number from 1 to 7",
        ),
        ({"inputs": [binary_input()], "parameters": {"timeout": 1.5}}, b"", None, "the parameter 'timeout' is 1.5"),
    ],
)  # fmt: skip
def test_refused_requests(client, request_body, pixels, length, sentence):
    response = infer(client, request_body, pixels, length=length)
    assert (response.status_code, response.json()["request_id"]) == (422, response.headers["x-request-id"])
    assert sentence in response.json()["error"]


def test_bytes_without_the_header_are_no_json(client):
    text = json.dumps({"inputs": [binary_input()]}).encode()
    response = client.post(INFER, content=text + PIXELS)
    assert response.status_code == 422
    assert "the body is not JSON" in response.json()["error"]


def test_more_pixels_than_the_limit_are_refused(make_client):
    client = make_client(max_pixels=IMAGES.size - 1)
    response = infer(client, {"inputs": [binary_input()]})
    assert response.status_code == 413
    assert response.json()["error"] == "the images have 2352 pixels together, the limit is 2351"


@pytest.mark.parametrize(("timeout_us", "status"), [(1, 504), (0, 200), (60_000_000, 200)])
def test_a_request_may_say_how_long_it_waits(client, timeout_us, status):
    response = infer(client, {"inputs": [binary_input()], "parameters": {"timeout": timeout_us}})
    assert response.status_code == status
