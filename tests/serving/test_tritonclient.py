"""The public client of the protocol, unchanged, against a server process."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from serving.load_model import load_model
from serving.prediction import Prediction
from tests.bundles import EMBEDDING_SIZE, make_images
from tests.serving.conftest import CLASSES
from tests.serving.test_process import run_server, wait_for

IMAGES = np.stack(make_images(5, seed=2))


@pytest.fixture(scope="module")
def address(tiny_bundle: Path) -> Iterator[str]:
    with run_server(tiny_bundle, "--workers", "1", "--max-images", "100") as server:
        wait_for(server.lines, "ready")
        yield server.url.removeprefix("http://")


@pytest.fixture(scope="module")
def triton(address: str) -> Iterator[tritonclient.http.InferenceServerClient]:
    with tritonclient.http.InferenceServerClient(address, concurrency=4) as client:
        yield client


@pytest.fixture(scope="module")
def expected(tiny_bundle: Path) -> Prediction:
    return load_model(tiny_bundle, threads=1).predict(list(IMAGES))


def image_input(images=IMAGES, *, is_binary=True, module=tritonclient.http):
    sent = module.InferInput("image", list(images.shape), "UINT8")
    sent.set_data_from_numpy(images, binary_data=is_binary)
    return sent


def output(name: str, **options):
    return tritonclient.http.InferRequestedOutput(name, **options)


@pytest.mark.parametrize("version", ["", "12"])
def test_health_and_metadata(triton, version):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("fashion", version)
    assert triton.get_server_metadata()["extensions"] == ["binary_tensor_data", "classification"]
    metadata = triton.get_model_metadata("fashion", version)
    assert (metadata["name"], metadata["versions"]) == ("fashion", ["12"])
    assert [(tensor["name"], tensor["datatype"]) for tensor in metadata["inputs"]] == [("image", "UINT8")]
    assert [tensor["name"] for tensor in metadata["outputs"]] == ["probabilities", "embedding", "class", "label"]


@pytest.mark.parametrize("sends_binary", [True, False], ids=["binary in", "JSON in"])
@pytest.mark.parametrize("gets_binary", [True, False], ids=["binary out", "JSON out"])
@pytest.mark.parametrize("channels", [(), (1,)], ids=["grey", "with channels"])
def test_a_batch(triton, expected, sends_binary, gets_binary, channels):
    images = IMAGES.reshape((*IMAGES.shape, *channels))
    outputs = [output(name, binary_data=gets_binary) for name in ("label", "class", "embedding", "probabilities")]
    result = triton.infer("fashion", [image_input(images, is_binary=sends_binary)], outputs=outputs)
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected.probabilities, atol=1e-6)
    np.testing.assert_allclose(result.as_numpy("embedding"), expected.embeddings, atol=1e-6)
    winners = expected.probabilities.argmax(axis=1)
    np.testing.assert_array_equal(result.as_numpy("class"), winners)
    labels = [label.decode() if isinstance(label, bytes) else label for label in result.as_numpy("label")]
    assert labels == [CLASSES[index] for index in winners]
    assert ("data" in result.get_output("class")) is not gets_binary


def test_without_named_outputs_all_come_as_bytes(triton, expected):
    result = triton.infer("fashion", [image_input()], model_version="12", request_id="mine")
    answer = result.get_response()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("fashion", "12", "mine")
    assert all("binary_data_size" in tensor["parameters"] for tensor in answer["outputs"])
    assert result.as_numpy("embedding").shape == (len(IMAGES), EMBEDDING_SIZE)
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected.probabilities, atol=1e-6)
    assert result.as_numpy("nothing") is None


def test_ranked_classes(triton, expected):
    result = triton.infer("fashion", [image_input()], outputs=[output("probabilities", class_count=2)])
    ranked = result.as_numpy("probabilities")
    assert ranked.shape == (len(IMAGES), 2)
    winner = expected.probabilities.argmax(axis=1)[0]
    assert ranked[0, 0].decode() == f"{expected.probabilities[0, winner]:f}:{winner}:{CLASSES[winner]}"


def test_parameters_and_requests_side_by_side(triton, expected):
    waiting = [
        triton.async_infer(
            "fashion", [image_input(IMAGES[i : i + 1])], timeout=30_000_000, priority=1, parameters={"a": 1}
        )
        for i in range(len(IMAGES))
    ]
    for row, request in zip(expected.probabilities, waiting, strict=True):
        np.testing.assert_allclose(request.get_result().as_numpy("probabilities")[0], row, atol=1e-6)


@pytest.mark.parametrize("is_binary", [True, False])
def test_the_asyncio_client(address, expected, is_binary):
    async def infer() -> tritonclient.http.InferResult:
        async with tritonclient.http.aio.InferenceServerClient(address) as client:
            assert await client.is_model_ready("fashion")
            sent = image_input(is_binary=is_binary, module=tritonclient.http.aio)
            return await client.infer("fashion", [sent])

    result = asyncio.run(infer())
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected.probabilities, atol=1e-6)


def test_an_answer_may_be_asked_for_compressed_and_comes_plain(triton):
    result = triton.infer("fashion", [image_input()], response_compression_algorithm="gzip")
    assert result.as_numpy("class").shape == (len(IMAGES),)


def floats():
    sent = tritonclient.http.InferInput("image", [1, 2, 2], "FP32")
    sent.set_data_from_numpy(np.zeros((1, 2, 2), np.float32))
    return sent


@pytest.mark.parametrize(
    ("request_", "status", "sentence"),
    [
        ({"model_name": "other"}, "404", "no model 'other' in version '12' here; there is 'fashion' in '12'"),
        ({"model_version": "13"}, "404", "no model 'fashion' in version '13' here; there is 'fashion' in '12'"),
        ({"inputs": [floats()]}, "422", "got the input 'image' of datatype 'FP32'; expected one input"),
        ({"inputs": [image_input(), image_input()]}, "422", "expected one input"),
        ({"inputs": [image_input(IMAGES[0])]}, "422", "the input has shape [28, 28]; expected one input"),
        ({"inputs": [image_input(IMAGES[:0])]}, "422", "the input has shape [0, 28, 28]; expected one input"),
        ({"inputs": [image_input(np.zeros((101, 2, 2), np.uint8))]}, "413", "the request has 101 images"),
        ({"outputs": [output("x")]}, "422", "unknown output {"),
        ({"outputs": [output("label", class_count=1)]}, "422", "'classification' is for the output 'probabilities'"),
        ({"request_compression_algorithm": "gzip"}, "415", "content encoding 'gzip' is not read here"),
        ({"request_compression_algorithm": "deflate"}, "415", "content encoding 'deflate' is not read here"),
        ({"timeout": 1}, "504", "the time that the request had"),
        ({"headers": {"x-timeout-ms": "soon"}}, "422", "x-timeout-ms is 'soon'"),
    ],
)  # fmt: skip
def test_errors(triton, request_, status, sentence):
    with pytest.raises(InferenceServerException) as refused:
        triton.infer(**{"model_name": "fashion", "inputs": [image_input()], **request_})
    assert refused.value.status() == status
    assert sentence in refused.value.message()


def test_an_unknown_model_is_not_ready(triton):
    assert not triton.is_model_ready("other")
    with pytest.raises(InferenceServerException, match="no model 'other'"):
        triton.get_model_metadata("other")
