"""Who is let in, with how much, for how long; refused before the body is read."""

import httpx
import pytest

from serving.admission import check_token
from serving.errors import UnauthorizedError
from tests.bundles import make_images
from tests.serving.files import encode

INFER = "/v2/models/fashion/infer"
PNG = encode(make_images(1, seed=1)[0], "PNG")
RAW = {"content-type": "application/octet-stream", "x-image-shape": "28,28"}
PIXELS = make_images(1, seed=1)[0].tobytes()
TENSOR = {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 1, 1], "data": [0]}]}


class Unread:
    """A body that says whether anybody read of it."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = parts
        self.reads = 0

    async def __aiter__(self):
        for part in self.parts:
            self.reads += 1
            yield part


@pytest.mark.parametrize("path", ["/predict", INFER, "/v2/models/fashion/versions/12/infer", "/feedback"])
@pytest.mark.parametrize(
    "authorization",
    [None, "", "hush", "Basic hush", "Bearer", "Bearer ", "Bearer wrong", "Bearer hush!", "Bearer hus", "Bearer é"],
)
def test_without_the_token_nothing_is_read(make_client, path, authorization):
    client = make_client(token="hush")
    headers = {} if authorization is None else {"authorization": authorization.encode()}
    body = Unread(PNG)
    response = client.post(path, content=body, headers=headers)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert "authorization: Bearer TOKEN" in response.json()["error"]
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert "hush" not in response.text
    assert body.reads == 0


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_with_the_token_all_is_well(make_client, scheme):
    client = make_client(token="hush")
    headers = {"authorization": f"{scheme} hush"}
    assert client.post("/predict", content=PNG, headers=headers).status_code == 200
    assert client.post(INFER, json=TENSOR, headers=headers).status_code == 200


def test_metadata_health_and_metrics_need_no_token(make_client):
    client = make_client(token="hush")
    paths = ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/fashion", "/metrics", "/openapi.json")
    assert {client.get(path).status_code for path in paths} == {200}


def test_a_token_of_any_letters_is_compared_as_bytes():
    check_token({b"authorization": "Bearer schlüssel".encode()}, "schlüssel")
    with pytest.raises(UnauthorizedError):
        check_token({b"authorization": b"Bearer schl\xfcssel"}, "schlüssel")


@pytest.mark.parametrize(("sent", "status"), [("gzip", 415), ("br", 415), ("identity", 200), ("", 200)])
def test_a_compressed_body_is_not_read(client, sent, status):
    body = Unread(PNG)
    response = client.post("/predict", content=body, headers={"content-encoding": sent})
    assert response.status_code == status
    if status == 415:
        assert response.json()["error"] == f"content encoding {sent!r} is not read here; send the body as it is"
        assert body.reads == 0


def test_a_body_over_the_limit_is_not_read(make_client):
    client = make_client(max_body_bytes=100)
    body = Unread(b"x" * 101)
    response = client.post("/predict", content=body, headers={"content-length": "101"})
    assert (response.status_code, response.json()["error"]) == (413, "the body has 101 bytes, the limit is 100")
    assert body.reads == 0


@pytest.mark.parametrize("path", ["/predict", INFER, "/feedback"])
def test_more_requests_than_the_limit_are_refused_at_once(make_client, path, tmp_path):
    client = make_client(max_in_flight=3, record_folder=str(tmp_path))
    client.service.room.requests = 3
    body = Unread(PNG)
    response = client.post(path, content=body)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["error"] == "3 requests are in flight, the limit; try again or elsewhere"
    assert body.reads == 0
    assert client.get("/v2/health/ready").status_code == 200  # busy is not unready
    client.service.room.requests = 2
    assert client.post("/predict", content=PNG).status_code == 200
    assert client.service.room.requests == 2
    client.service.close()


def test_more_bytes_than_the_limit_are_refused_at_once(make_client):
    client = make_client(max_in_flight_bytes=10_000)
    client.service.room.bytes = 9_500
    body = Unread(PIXELS)
    response = client.post("/predict", content=body, headers={**RAW, "content-length": str(len(PIXELS))})
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["error"].startswith("9500 bytes are in flight, with 784 more it would be over the limit of")
    assert body.reads == 0
    response = client.post("/predict", content=Unread(b"x" * 300, b"x" * 300, b"x" * 184), headers=RAW)  # no length
    assert response.status_code == 503
    assert client.service.room.bytes == 9_500
    client.service.room.bytes = 0
    assert client.post("/predict", content=PIXELS, headers=RAW).status_code == 200
    assert (client.service.room.requests, client.service.room.bytes) == (0, 0)


def test_large_images_in_small_files_count_as_what_they_are(make_client):
    client = make_client(max_in_flight_bytes=100_000)
    bomb = encode(make_images(1, seed=1, size_px=600)[0] // 200, "PNG")
    assert len(bomb) < 100_000
    response = client.post("/predict", content=bomb)
    assert response.status_code == 503
    assert "with 360000 more it would be over the limit of 100000" in response.json()["error"]
    assert (client.service.room.requests, client.service.room.bytes) == (0, 0)


@pytest.mark.parametrize("body", [PNG, b"", b"no image"], ids=["answered", "empty", "refused"])
def test_whatever_happens_the_room_is_given_back(make_client, body):
    client = make_client()
    client.post("/predict", content=body)
    assert (client.service.room.requests, client.service.room.bytes) == (0, 0)


def test_a_time_to_wait_that_is_no_number_is_refused(client):
    body = Unread(PNG)
    response = client.post("/predict", content=body, headers={"x-timeout-ms": "soon"})
    assert (response.status_code, body.reads) == (422, 0)
    assert response.json()["error"] == "x-timeout-ms is 'soon'; expected whole milliseconds, 1 or more"


@pytest.mark.parametrize("admin_port", [0, 9090])
def test_metrics_are_on_the_port_for_operators_alone_if_there_is_one(make_client, admin_port):
    from serving.app import create_admin_app  # noqa: PLC0415 - beside the one that the client has
    from tests.serving.conftest import Client  # noqa: PLC0415

    client = make_client(admin_port=admin_port)
    assert client.get("/metrics").status_code == (404 if admin_port else 200)
    operator = Client(create_admin_app(client.service))
    assert operator.get("/metrics").status_code == 200
    for one in (client, operator):
        assert one.get("/v2/health/ready").status_code == 200
    assert operator.post("/predict", content=PNG).status_code == 404
    assert isinstance(operator.get("/v2/health/live"), httpx.Response)


def test_where_the_model_is_not_right_nothing_is_read(make_client):
    client = make_client()
    client.service.trust(is_right=False)
    for path in ("/predict", INFER):
        body = Unread(PNG)
        response = client.post(path, content=body)
        assert (response.status_code, body.reads) == (503, 0)
        assert response.json()["error"] == "the model is not ready: the server is unwell; try again or elsewhere"
    assert client.post("/feedback", json={}).status_code == 404  # it needs no model, but a log
