"""What a client is told, by status and sentence, for everything that it can get wrong."""

import base64
import tracemalloc

import pytest

from serving.errors import BadInputError
from serving.images import to_uint8
from tests.bundles import make_images
from tests.serving.files import encode, png_header

RAW = {"content-type": "application/octet-stream"}
JSON = {"content-type": "application/json"}
PNG = {"content-type": "image/png"}
IMAGE = make_images(1, seed=1)[0]
FILE = base64.b64encode(encode(IMAGE, "PNG")).decode()


def shaped(shape: str) -> dict[str, str]:
    return {**RAW, "x-image-shape": shape}


@pytest.mark.parametrize(
    ("headers", "body", "status", "sentence"),
    [
        (PNG, b"", 422, "the body is empty: send an image"),
        (PNG, b"hello world", 422, "the body: not a PNG or JPEG: starts with b'hello wor'"),
        (PNG, encode(IMAGE, "PNG")[:200], 422, "the body: truncated PNG: the image goes on after the 200 bytes"),
        (PNG, encode(IMAGE.astype("uint16"), "PNG"), 422, "the body: 16-bit PNG (mode I;16): save it with 8 bits"),
        (PNG, png_header(20_000, 20_000), 422, "20000 x 20000 = 400000000 pixels, the limit is 50000000"),
        (RAW, b"\x00" * 784, 422, "the body: not a PNG or JPEG: starts with b'\\x00"),
        (shaped("28,28"), b"\0" * 783, 422, "x-image-shape 28,28 needs 784 bytes, the body has 783"),
        (shaped("28,28,3"), b"\0" * 784, 422, "x-image-shape 28,28,3 needs 2352 bytes, the body has 784"),
        (shaped("2,28,28"), b"\0" * 784, 422, "x-image-shape 2,28,28 needs 1568 bytes, the body has 784"),
        (shaped("28"), b"\0" * 28, 422, "x-image-shape is '28'; expected H,W or H,W,C or N,H,W or N,H,W,C"),
        (shaped("28,-28"), b"\0" * 784, 422, "x-image-shape is '28,-28'; expected H,W"),
        (shaped("0,28"), b"\0", 422, "x-image-shape is '0,28'; expected H,W"),
        (shaped("1,28,28,2"), b"\0" * 1568, 422, "x-image-shape is '1,28,28,2'; expected H,W"),
        (shaped("wide"), b"\0" * 784, 422, "x-image-shape is 'wide'; expected H,W"),
        ({"content-type": "text/plain"}, b"hello", 415, "content type 'text/plain' is not read here; expected one of"),
        ({"content-type": "image/gif"}, encode(IMAGE, "GIF"), 415, "content type 'image/gif' is not read here"),
        (JSON, b"{", 422, "the body is not JSON: Expecting property name"),
        (JSON, b"\xff\xfe", 422, "the body is not JSON: "),
        (JSON, b"[" * 100_000, 422, "the body is not JSON: maximum recursion depth"),
        (JSON, b"[1]", 422, 'expected {"instances": [image, ...]}'),
        (JSON, b'{"image": [[1]]}', 422, 'expected {"instances": [image, ...]}'),
        (JSON, b'{"images": []}', 422, 'expected {"instances": [image, ...]}'),
        (JSON, b'{"images": "abcd"}', 422, 'expected {"instances": [image, ...]}'),
        (JSON, b'{"images": [[1, 2]]}', 422, "images[0] has shape (2,); expected (H, W) or (H, W, 3)"),
        (JSON, b'{"images": [[[[1, 2]]]]}', 422, "images[0] has shape (1, 1, 2); expected (H, W) or (H, W, 3)"),
        (JSON, b'{"images": [[[1, 2], [3]]]}', 422, "images[0] is not an array of integers: "),
        (JSON, b'{"images": [[[1]], [[0.5]]]}', 422, "images[1]: expected integers 0 to 255, got 0.5"),
        (JSON, b'{"images": [[[-1, 256]]]}', 422, "images[0]: expected integers 0 to 255, got -1"),
        (JSON, b'{"images": [[[true]]]}', 422, "images[0]: expected integers 0 to 255, got True"),
        (JSON, b'{"images": [[[1e999]]]}', 422, "images[0]: expected integers 0 to 255, got inf"),
        (JSON, b'{"images": [[[99999999999999999999]]]}', 422, "expected integers 0 to 255, got 99999999999999999999"),
        (JSON, b'{"images": [[]]}', 422, "images[0]: expected integers 0 to 255, got nothing"),
        (JSON, b'{"images": [null]}', 422, "images[0]: expected integers 0 to 255, got None"),
        (JSON, b'{"images": [[[1, 2], 3]]}', 422, "images[0] is not an array of integers: "),
        (JSON, b'{"images": [{"a": 1}]}', 422, "images[0]: expected integers 0 to 255, got {'a': 1}"),
        (JSON, b'{"images": [[["' + b"x" * 500 + b'"]]]}', 422, "got 'xxxxxxxxxxxx...xxxxxxxxxxxxx'"),
        (JSON, b'{"images": [' + b"[" * 900 + b"]" * 900 + b"]}", 422, "images[0] has lists in lists in lists: "),
        (JSON, b'{"images": [[[' + b"9" * 5000 + b"]]]}", 422, "the body is not JSON: Exceeds the limit"),
        (JSON, '{"images": ["é"]}'.encode(), 422, "images[0] is not base64: "),
        (shaped("9" * 5000 + ",28"), b"\0", 422, "x-image-shape is '999999999999...9999999999,28'; expected H,W"),
        (shaped("1," * 9000 + "1"), b"\0", 422, "x-image-shape is '1,1,1,1,1,1,...1,1,1,1,1,1,1'; expected H,W"),
        (JSON, b'{"images": ["%%"]}', 422, "images[0] is not base64: "),
        (JSON, b'{"images": ["aGVsbG8="]}', 422, "images[0]: not a PNG or JPEG: starts with b'hello'"),
    ],
)  # fmt: skip
def test_refused_bodies(client, headers, body, status, sentence):
    response = client.post("/predict", content=body, headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    assert sentence in response.json()["error"]
    assert response.json()["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("top_k", ["0", "8", "-1", "many", ""])
def test_top_k_out_of_range(client, top_k):
    response = client.post("/predict", content=encode(IMAGE, "PNG"), params={"top_k": top_k})
    assert response.status_code == 422
    assert f"top_k is {top_k!r}; expected an integer from 1 to 7" in response.json()["error"]


def test_a_number_of_thousands_of_digits_is_refused(client):
    response = client.post("/predict", content=encode(IMAGE, "PNG"), params={"top_k": "9" * 5000})
    assert response.status_code == 422
    assert "top_k is '999999999999...9999999999999'; expected an integer from 1 to 7" in response.json()["error"]


def test_long_texts_among_pixels_take_no_memory():
    values = ["a" * 100_000, *["b"] * 200]  # as an array of texts: 80 MB
    tracemalloc.start()
    try:
        with pytest.raises(BadInputError, match=r"expected integers 0 to 255, got 'aaa"):
            to_uint8([values], "images[0]")
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1_000_000


@pytest.mark.parametrize(
    "request_of",
    [
        lambda count: {"json": {"images": [[[0]]] * count}},
        lambda count: {"content": b"\0" * count * 4, "headers": shaped(f"{count},2,2")},
        lambda count: {"content": b"\0" * count, "headers": shaped(f"{count},1,1,1")},
    ],
    ids=["JSON", "raw", "raw with channels"],
)
def test_more_images_than_the_limit_are_refused(make_client, request_of):
    client = make_client(max_images=3)
    assert client.post("/predict", **request_of(3)).status_code == 200
    response = client.post("/predict", **request_of(4))
    assert response.status_code == 413
    assert response.json()["error"] == "the request has 4 images, the limit is 3: send several requests"


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/nothing", 404, "GET /nothing: Not Found"),
        ("GET", "/predict", 405, "GET /predict: Method Not Allowed"),
        ("POST", "/predict/", 404, "POST /predict/: Not Found"),
        ("GET", "/v2/models/other", 404, "no model 'other' in version '12' here; there is 'fashion' in '12'"),
        ("GET", "/v2/models/fashion/versions/3", 404, "no model 'fashion' in version '3' here"),
        ("GET", "/v2/models/other/ready", 404, "no model 'other'"),
        ("POST", "/v2/models/other/infer", 404, "no model 'other'"),
    ],
)
def test_paths_that_lead_nowhere(client, method, path, status, sentence):
    response = client.request(method, path)
    assert response.status_code == status
    assert sentence in response.json()["error"]


def test_a_body_over_the_limit_is_refused_by_its_announced_length(make_client):
    client = make_client(max_body_bytes=100)
    response = client.post("/predict", content=b"x" * 101, headers=PNG)
    assert response.status_code == 413
    assert response.json()["error"] == "the body has 101 bytes, the limit is 100"


@pytest.mark.parametrize("path", ["/predict", "/v2/models/fashion/infer"])
def test_a_body_over_the_limit_is_refused_while_it_comes(make_client, path):
    client = make_client(max_body_bytes=100)
    sent = []

    async def parts():
        for number in range(1000):
            sent.append(number)
            yield b"x" * 60

    response = client.post(path, content=parts(), headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert response.json()["error"] == "the body has more than 100 bytes, the limit"
    assert len(sent) < 10


def test_small_files_with_many_pixels_are_refused_together(make_client):
    client = make_client(max_pixels=2000)
    assert client.post("/predict", json={"images": [FILE] * 2}).status_code == 200
    response = client.post("/predict", json={"images": [FILE] * 1000})
    assert response.status_code == 413
    assert response.json()["error"] == "the images have 2352 pixels together, the limit is 2000"


INTERNAL = "internal error; the server's log has it as req-9"
OF_THE_MODEL = "the model failed on this request; the server's log has it as req-9"


@pytest.mark.parametrize("path", ["/predict", "/v2/models/fashion/infer"])
@pytest.mark.parametrize(
    "failure",
    [
        (lambda service: service.model, "answer", OF_THE_MODEL),
        (lambda service: service._batcher, "_predict_each", OF_THE_MODEL),
        (lambda service: service, "predict", INTERNAL),
    ],
    ids=["module", "model", "anywhere else"],
)
def test_an_inner_failure_shows_nothing_of_the_inside(make_client, monkeypatch, caplog, path, failure):
    client = make_client()
    place, name, message = failure

    def fail(*_, **__):
        raise RuntimeError("secret path /root/model.pt")

    monkeypatch.setattr(place(client.service), name, fail)
    body = {
        "images": [IMAGE.tolist()],
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 1, 1], "data": [0]}],
    }
    response = client.post(path, json=body, headers={"x-request-id": "req-9"})
    assert response.status_code == 500
    assert response.json() == {"error": message, "request_id": "req-9"}
    assert response.headers["x-request-id"] == "req-9"
    (record,) = [record for record in caplog.records if "secret path" in caplog.handler.format(record)]
    assert (record.levelname, record.request_id) == ("ERROR", "req-9")
    assert client.service.in_flight == 0
