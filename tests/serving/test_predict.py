import base64
import json

import numpy as np
import pytest

from serving.bundle.decode import decode_image
from tests.bundles import make_images
from tests.serving.conftest import CLASSES
from tests.serving.files import encode, random_image

RAW = "application/octet-stream"
IMAGE = make_images(1, seed=11)[0]
COLOUR = random_image(40, 30)


def predictions(client, **kwargs):
    response = client.post("/predict", **kwargs)
    assert response.status_code == 200, response.text
    return response.json()["predictions"]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("image", [IMAGE, COLOUR], ids=["as the network sees it", "larger and in colour"])
def test_every_format_gives_the_same_answer(client, image):
    png = encode(image, "PNG")
    shape = ",".join(map(str, image.shape))
    expected = client.service.model.predict([image]).probabilities[0]
    answers = [
        predictions(client, params={"top_k": 7}, **request)
        for request in (
            {"content": png, "headers": {"content-type": "image/png"}},
            {"content": png, "headers": {"content-type": "image/jpeg"}},
            {"content": png, "headers": {"content-type": f"{RAW}; charset=binary"}},
            {"content": png},
            {"content": image.tobytes(), "headers": {"content-type": RAW, "x-image-shape": shape}},
            {"content": image.tobytes(), "headers": {"x-image-shape": shape}},
            {"json": {"instances": [image.tolist()]}},
            {"json": {"images": [b64(png)]}},
            {"files": {"file": ("shirt.png", png, "image/png")}},
            {"files": [("anything", ("", png))]},
        )
    ]
    for answer in answers:
        found = {ranked["class"]: ranked["probability"] for ranked in answer[0]["top_k"]}
        np.testing.assert_allclose([found[i] for i in range(len(CLASSES))], expected, atol=1e-6)


def test_a_jpeg_gives_the_answer_of_its_decoded_pixels(client):
    jpeg = encode(IMAGE, "JPEG", quality=50)
    answer = predictions(client, content=jpeg, headers={"content-type": "image/jpeg"})
    expected = client.service.model.predict([decode_image(jpeg, IMAGE.size)]).probabilities[0]
    assert answer[0]["probability"] == pytest.approx(expected.max(), abs=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 100], ids=["one", "two", "as many as channels", "more than a batch"])
@pytest.mark.parametrize("kind", ["raw", "json"])
def test_many_images_are_answered_in_their_order(client, count, kind):
    images = make_images(count, seed=5)
    raw = {
        "content": np.stack(images).tobytes(),
        "headers": {"content-type": RAW, "x-image-shape": f"{count},28,28,1"},
    }
    answers = predictions(client, **(raw if kind == "raw" else {"json": {"images": [i.tolist() for i in images]}}))
    expected = client.service.model.predict(images).probabilities
    assert [answer["class"] for answer in answers] == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose([answer["probability"] for answer in answers], expected.max(axis=1), atol=1e-6)


def test_images_of_one_request_may_differ_in_size_and_kind(client):
    answers = predictions(client, json={"images": [IMAGE.tolist(), b64(encode(COLOUR, "PNG")), [[5] * 3] * 9]})
    assert len(answers) == 3


@pytest.mark.parametrize("count", [1, 2, 100])
def test_files_of_one_form_are_answered_in_their_order(client, count):
    images = [random_image(10 + number % 7, 20, seed=number) for number in range(count)]
    files = [("file", (f"{number}.png", encode(image, "PNG"))) for number, image in enumerate(images)]
    answers = predictions(client, files=files)
    expected = client.service.model.predict(images).probabilities
    assert [answer["class"] for answer in answers] == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose([answer["probability"] for answer in answers], expected.max(axis=1), atol=1e-6)


def test_a_form_names_the_file_that_is_no_image(client):
    files = [("file", ("a.png", encode(IMAGE, "PNG"))), ("file", ("b.png", b"text"))]
    response = client.post("/predict", files=files)
    assert response.status_code == 422
    assert response.json()["error"] == "part 2, 'b.png': not a PNG or JPEG: starts with b'text'"


def test_a_form_has_at_most_the_images_and_pixels_of_any_request(make_client):
    client = make_client(max_images=3, max_pixels=3 * IMAGE.size - 1)
    files = [("file", ("a.png", encode(IMAGE, "PNG")))]
    assert client.post("/predict", files=files * 2).status_code == 200
    refused = [client.post("/predict", files=files * count) for count in (3, 4)]
    assert [(response.status_code, response.json()["error"]) for response in refused] == [
        (413, "the images have 2352 pixels together, the limit is 2351"),
        (413, "the request has 4 images, the limit is 3: send several requests"),
    ]


@pytest.mark.parametrize(
    "request_", [{"content": IMAGE.tobytes(), "headers": {"content-type": RAW, "x-image-shape": "28,28"}}]
)
def test_raw_pixels_are_read_without_a_thread(make_client, request_):
    client = make_client()
    client.service.read = None  # would be called, and fail
    assert client.post("/predict", **request_).status_code == 200


def test_decoded_images_count_against_the_bytes_in_flight(make_client):
    large = encode(np.zeros((400, 400, 3), np.uint8), "PNG")
    client = make_client(max_in_flight_bytes=400 * 400 * 3)
    response = client.post("/predict", content=large)
    assert len(large) < 10_000
    assert response.status_code == 503
    assert client.post("/predict", content=encode(IMAGE, "PNG")).status_code == 200


def test_the_answer_says_what_answered(client):
    response = client.post("/predict", content=encode(IMAGE, "PNG"), headers={"x-request-id": "req-1"})
    answer = response.json()
    digest = client.service.model.digest
    assert {name: answer[name] for name in ("model", "version", "digest", "request_id")} == {
        "model": "fashion", "version": "12", "digest": digest, "request_id": "req-1",
    }  # fmt: skip
    assert response.headers["x-evergreen-version"] == "12"
    assert response.headers["x-evergreen-digest"] == digest
    assert response.headers["x-request-id"] == "req-1"


@pytest.mark.parametrize(("query", "count"), [({}, 5), ({"top_k": 1}, 1), ({"top_k": 7}, 7)])
def test_classes_are_ranked(client, query, count):
    (answer,) = predictions(client, content=encode(IMAGE, "PNG"), params=query)
    ranked = [entry["probability"] for entry in answer["top_k"]]
    assert len(ranked) == count
    assert ranked == sorted(ranked, reverse=True)
    assert answer["label"] == CLASSES[answer["class"]] == answer["top_k"][0]["label"]
    assert json.dumps(answer)  # finite numbers only
