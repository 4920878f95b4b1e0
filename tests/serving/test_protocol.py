import json

import numpy as np
import pytest

from serving.app import create_app
from serving.service import Service
from tests.bundles import EMBEDDING_SIZE, make_images
from tests.serving.conftest import CLASSES, Client
from tests.serving.files import random_image

INFER = "/v2/models/fashion/infer"
IMAGES = np.stack(make_images(3, seed=2))


def tensor(data, shape, **changes):
    return {"inputs": [{"name": "image", "datatype": "UINT8", "shape": list(shape), "data": data, **changes}]}


def outputs(response) -> dict[str, np.ndarray]:
    assert response.status_code == 200, response.text
    return {output["name"]: np.array(output["data"]).reshape(output["shape"]) for output in response.json()["outputs"]}


@pytest.mark.parametrize(
    "request_body",
    [
        tensor(IMAGES.tolist(), (3, 28, 28)),
        tensor(IMAGES.ravel().tolist(), (3, 28, 28)),
        tensor(IMAGES[..., None].tolist(), (3, 28, 28, 1)),
    ],
    ids=["nested", "flat", "with channels"],
)
@pytest.mark.parametrize("path", [INFER, "/v2/models/fashion/versions/12/infer"])
def test_all_outputs(client, path, request_body):
    found = outputs(client.post(path, json=request_body))
    expected = client.service.model.predict(list(IMAGES))
    assert found["probabilities"].shape == (3, len(CLASSES))
    assert found["embedding"].shape == (3, EMBEDDING_SIZE)
    np.testing.assert_allclose(found["probabilities"], expected.probabilities, atol=1e-6)
    np.testing.assert_allclose(found["embedding"], expected.embeddings, atol=1e-6)
    np.testing.assert_array_equal(found["class"], expected.probabilities.argmax(axis=1))
    assert found["label"].tolist() == [CLASSES[index] for index in found["class"]]


def test_colour_images_of_another_size(client):
    image = random_image(50, 40)
    found = outputs(client.post(INFER, json=tensor(image[None].tolist(), (1, 50, 40, 3))))
    np.testing.assert_allclose(
        found["probabilities"], client.service.model.predict([image]).probabilities, atol=1e-6
    )  # fmt: skip


@pytest.mark.parametrize("asked", [["class"], ["label", "probabilities"]])
def test_only_the_outputs_asked_for(client, asked):
    body = {**tensor(IMAGES.tolist(), (3, 28, 28)), "outputs": [{"name": name} for name in asked]}
    assert list(outputs(client.post(INFER, json=body))) == asked


def test_the_id_comes_back_and_one_is_made_where_there_is_none(client):
    body = tensor(IMAGES.tolist(), (3, 28, 28))
    for sent in ("mine", "", "\u00e9", "\ud800"):
        content = json.dumps({**body, "id": sent})
        assert client.post(INFER, content=content).json()["id"] == sent
    response = client.post(INFER, json=body)
    assert response.json()["id"] == response.headers["x-request-id"]


def test_metadata_says_what_is_taken_and_what_answers(client):
    answer = client.get("/v2/models/fashion").json()
    contract = client.service.model.contract
    assert (answer["name"], answer["versions"], answer["platform"]) == ("fashion", ["12"], "pytorch_torchscript")
    assert [(i["name"], i["datatype"], i["shape"]) for i in answer["inputs"]] == [("image", "UINT8", [-1, -1, -1])]
    assert [(output["name"], output["datatype"], output["shape"]) for output in answer["outputs"]] == [
        ("probabilities", "FP32", [-1, len(CLASSES)]),
        ("embedding", "FP32", [-1, EMBEDDING_SIZE]),
        ("class", "INT64", [-1]),
        ("label", "BYTES", [-1]),
    ]
    assert answer["parameters"]["digest"] == client.service.model.digest
    assert answer["parameters"]["weights_sha256"] == contract.weights_sha256
    assert answer["parameters"]["classes"] == list(CLASSES)
    assert client.get("/v2/models/fashion/versions/12").json() == answer


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v2", {"name": "evergreen", "version": "2", "extensions": ["binary_tensor_data", "classification"]}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True, "state": "ready"}),
        ("/v2/models/fashion/ready", {"name": "fashion", "ready": True, "state": "ready"}),
        ("/v2/models/fashion/versions/12/ready", {"name": "fashion", "ready": True, "state": "ready"}),
    ],
)
def test_health_and_server(client, path, answer):
    response = client.get(path)
    assert (response.status_code, response.json()) == (200, answer)


NAMES = 'expected {"name": ...} with one of probabilities, embedding, class, label'
EXPECTED = 'expected one input "image", datatype UINT8, shape [N, H, W] or [N, H, W, C] with C 1 or 3'


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ([], EXPECTED),
        ({}, EXPECTED),
        ({"inputs": []}, EXPECTED),
        ({"inputs": [1]}, EXPECTED),
        ({"inputs": tensor([0], (1, 1, 1))["inputs"] * 2}, EXPECTED),
        (tensor([0], (1, 1, 1), name="x"), "got the input 'x' of datatype 'UINT8'; " + EXPECTED),
        (tensor([0], (1, 1, 1), datatype="FP32"), "got the input 'image' of datatype 'FP32'; " + EXPECTED),
        (tensor([0], (1, 1)), "the input has shape [1, 1]; " + EXPECTED),
        (tensor([0], (1, 1, 1, 2)), "the input has shape [1, 1, 1, 2]; " + EXPECTED),
        (tensor([0], (1, 1, -1)), "the input has shape [1, 1, -1]; " + EXPECTED),
        (tensor([0], (1, 1, True)), "the input has shape [1, 1, True]; " + EXPECTED),
        ({"inputs": [{"name": "image", "datatype": "UINT8", "data": [0]}]}, "the input has shape None; " + EXPECTED),
        (tensor([0], (1, 2, 2)), "the data has shape [1]; the input's shape [1, 2, 2] needs 4 values"),
        (tensor([[[0, 0, 0, 0]]], (1, 2, 2)), "the data has shape [1, 1, 4]; the input's shape [1, 2, 2] needs 4"),
        (tensor([256], (1, 1, 1)), "input 'image': expected integers 0 to 255, got 256"),
        (tensor(["a"], (1, 1, 1)), "input 'image': expected integers 0 to 255, got 'a'"),
        ({**tensor([0], (1, 1, 1)), "outputs": [{"name": "x"}]}, "unknown output {'name': 'x'}; " + NAMES),
        (tensor([True], (1, 1, 1)), "input 'image': expected integers 0 to 255, got True"),
        (tensor("a" * 100_000, (1, 1, 1)), "input 'image': expected integers 0 to 255, got 'aaaaaaaaaaaa...aaaaa"),
        (tensor([0], (1, 10**4000, 10**4000)), "the input has shape [1, 1000000000"),
        (tensor([0], (1, 10**18, 1)), "the input has shape [1, 1000000000"),
        ({**tensor([0], (1, 1, 1)), "outputs": [["class"]]}, "unknown output ['class']; " + NAMES),
        ({**tensor([0], (1, 1, 1)), "outputs": "class"}, "outputs is 'class'; expected a list"),
        ({**tensor([0], (1, 1, 1)), "outputs": ["class"]}, "unknown output 'class'; " + NAMES),
        ({**tensor([0], (1, 1, 1)), "id": 7}, "the id is 7; expected a text"),
        ({**tensor([0], (1, 1, 1)), "parameters": [1]}, "the parameters of the request are [1]; expected an object"),
        (
            {**tensor([0], (1, 1, 1)), "parameters": {"x": {}}},
            "the parameter 'x' of the request is {}; expected a text",
        ),
    ],
)
def test_refused_requests(client, body, sentence):
    response = client.post(INFER, json=body)
    assert response.status_code == 422
    assert sentence in response.json()["error"]


def test_what_is_null_is_as_if_it_was_not_there(client):
    body = {**tensor([0], (1, 1, 1)), "id": None, "parameters": None, "outputs": None}
    assert len(outputs(client.post(INFER, json=body))) == 4


def test_other_parameters_are_of_no_effect(client):
    body = {**tensor([0], (1, 1, 1)), "parameters": {"priority": 1, "sequence_id": "a", "mine": True}}
    assert len(outputs(client.post(INFER, json=body))) == 4


def test_an_output_asked_for_again_and_again_is_one(client):
    body = {**tensor([0], (1, 1, 1)), "outputs": [{"name": "class"}] * 1000}
    assert [output["name"] for output in client.post(INFER, json=body).json()["outputs"]] == ["class"]


def test_more_images_than_the_limit_are_refused(make_client):
    client = make_client(max_images=3)
    assert client.post(INFER, json=tensor([0] * 3, (3, 1, 1))).status_code == 200
    response = client.post(INFER, json=tensor([0] * 4, (4, 1, 1)))
    assert response.status_code == 413
    assert response.json()["error"] == "the request has 4 images, the limit is 3: send several requests"


@pytest.mark.parametrize("content_type", ["text/plain", "image/png", "multipart/form-data; boundary=x"])
def test_other_content_types_are_refused(client, content_type):
    response = client.post(INFER, content=b"{}", headers={"content-type": content_type})
    assert response.status_code == 415
    media_type = content_type.partition(";")[0]
    assert response.json()["error"] == (
        f"content type {media_type!r} is not read here; expected application/json, "
        "or application/octet-stream with Inference-Header-Content-Length"
    )


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/octet-stream", ""])
def test_clients_that_send_json_by_other_names_are_answered(client, content_type):
    content = json.dumps(tensor(IMAGES.tolist(), (3, 28, 28)))
    assert len(outputs(client.post(INFER, content=content, headers={"content-type": content_type}))) == 4


@pytest.mark.parametrize(
    ("path", "name"), [("/v2/health/ready", {}), ("/v2/models/fashion/ready", {"name": "fashion"})]
)
def test_not_ready_before_the_model_is(settings, path, name):
    client = unloaded(settings)
    assert client.get("/v2/health/live").status_code == 200
    response = client.get(path)
    assert (response.status_code, response.json()) == (503, {**name, "ready": False, "state": "loading"})


@pytest.mark.parametrize(("method", "path"), [("POST", "/predict"), ("POST", INFER), ("GET", "/v2/models/fashion")])
def test_nothing_is_predicted_before_the_model_is_there(settings, method, path):
    response = unloaded(settings).request(method, path)
    assert response.status_code == 503
    assert response.json()["error"] == "the model is not ready: the server is loading; try again or elsewhere"
    assert response.headers["x-evergreen-version"] == "12"


def unloaded(settings) -> Client:
    return Client(create_app(Service(settings)))
