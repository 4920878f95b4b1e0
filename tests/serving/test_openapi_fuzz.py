"""schemathesis asks what the OpenAPI document allows and what it does not: no answer contradicts the document.

`OPENAPI_EXAMPLES=5000 pytest tests/serving/test_openapi_fuzz.py -s` asks that many; the seed is fixed.
"""

import collections
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis import checks
from schemathesis.generation import GenerationMode
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.openapi_paths import PATHS
from tests.serving.conftest import start_client
from tests.serving.files import encode, png_header, random_image

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "600"))  # over the operations that take a body
RAW = "application/octet-stream"

_TAKE_BODIES = [(path, method) for path, methods in PATHS.items() for method in methods if method == "post"]
_OTHERS = [(path, method) for path, methods in PATHS.items() for method in methods if method != "post"]
_DOCUMENTED_5XX = (503, 504)
_CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]

PNG = encode(random_image(5, 4), "PNG")
FILES = st.one_of(
    st.sampled_from([PNG, encode(random_image(30, 20), "JPEG"), PNG[:40], png_header(60_000, 60_000)]),
    st.binary(max_size=200),
)
for media_type in ("image/png", "image/jpeg", RAW):
    schemathesis.openapi.media_type(media_type, FILES)


@pytest.fixture(scope="module")
def schema(settings, tmp_path_factory) -> Iterator[schemathesis.BaseSchema]:
    log: Path = tmp_path_factory.mktemp("log")
    client = start_client(dataclasses.replace(settings, record_folder=str(log), max_images=16))
    yield schemathesis.openapi.from_asgi("/openapi.json", without_lifespan(client.app))
    client.service.close()


def without_lifespan(app: ASGIApp) -> ASGIApp:
    """Return an application whose model stays loaded however often it is started and stopped."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for done in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{done}.complete"})

    return answer


@pytest.fixture(scope="module")
def counts() -> Iterator[collections.Counter]:
    counted = collections.Counter()
    yield counted
    print()
    for (path, status), count in sorted(counted.items()):
        print(f"{path:45} {status} {count:6}")
    print(f"{'all':45}     {sum(counted.values()):6}")


@pytest.mark.parametrize(("path", "method"), _TAKE_BODIES + _OTHERS)
def test_no_answer_contradicts_the_document(schema, counts, path, method):
    operation = schema[path][method.upper()]
    takes_body = (path, method) in _TAKE_BODIES
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE] if takes_body else [GenerationMode.POSITIVE]

    @hypothesis.settings(
        max_examples=EXAMPLES // len(_TAKE_BODIES) if takes_body else 20,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes)), st.booleans())
    def ask(case, is_mended):
        if is_mended:
            mend(case)
        response = case.call()
        counts[path, response.status_code] += 1
        assert response.status_code < 500 or response.status_code in _DOCUMENTED_5XX
        case.validate_response(response, checks=_CHECKS)

    ask()
    assert any(counts[path, status] for status in (200, 202))  # the loop ran, and not only into refusals


def mend(case: schemathesis.Case) -> None:
    """Turn a request that only looks right into one that can be answered: lengths and shapes that fit."""
    body = case.body
    if case.media_type == RAW and isinstance(body, bytes) and body:
        if case.path.endswith("/predict"):
            case.headers["x-image-shape"] = f"1,{len(body)}"
        else:
            text = json.dumps({"inputs": [pixels(len(body), parameters={"binary_data_size": len(body)})]}).encode()
            case.headers["Inference-Header-Content-Length"] = str(len(text))
            case.body = text + body
    elif case.path.endswith("/infer") and isinstance(body, dict):
        case.headers.pop("Inference-Header-Content-Length", None)
        case.body = {**body, "inputs": [pixels(4, data=[0, 1, 2, 255])]}


def pixels(width: int, **more: object) -> dict[str, object]:
    return {"name": "image", "datatype": "UINT8", "shape": [1, 1, width], **more}
