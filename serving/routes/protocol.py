"""The Open Inference Protocol, version 2, REST: tensors in JSON or as bytes after it.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md
"""

import reprlib
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serving import tensors
from serving.binary_tensors import HEADER
from serving.body import read_body
from serving.errors import UnknownModelError, WrongTypeError
from serving.numbers import parse_number
from serving.output_tensors import write_answer
from serving.routes.state import media_type, service_of
from serving.service import Service
from serving.state import State

JSON_TYPE = "application/json"
BINARY_TYPE = "application/octet-stream"

_PROTOCOL = "2"
_QUICK_BYTES = 4096  # of JSON, read on the event loop: an image of 28 px, or what is said of binary tensors


async def live(_: Request) -> JSONResponse:
    """Answer 200 as long as the process can answer at all."""
    return JSONResponse({"live": True})


async def ready(request: Request) -> JSONResponse:
    """Answer 200 when the golden answers were right and the server is not draining, else 503."""
    return _readiness(service_of(request))


async def server_metadata(_: Request) -> JSONResponse:
    """Say what server this is."""
    return JSONResponse({"name": "evergreen", "version": _PROTOCOL, "extensions": list(tensors.EXTENSIONS)})


async def model_metadata(request: Request) -> JSONResponse:
    """Say what the model takes and answers, and which bundle it is."""
    service = _service_with_model(request)
    settings = service.settings
    model = service.model
    return JSONResponse(
        {
            "name": settings.model_name,
            "versions": [settings.model_version],
            "platform": "pytorch_torchscript",
            **tensors.describe(model.contract),
            "parameters": {
                "digest": model.digest,
                "weights_sha256": model.contract.weights_sha256,
                "data_digest": model.contract.data_digest,
                "architecture": model.contract.architecture,
                "classes": list(model.contract.classes),
            },
        }
    )


async def model_ready(request: Request) -> JSONResponse:
    """Answer as `ready` does, for the named model."""
    service = _service_with_model(request)
    return _readiness(service, name=service.settings.model_name)


async def infer(request: Request) -> Response:
    """Answer an inference request."""
    service = _service_with_model(request)
    model, settings = service.model, service.settings
    sent = await _read_request(request)
    deadline: float = request.state.deadline
    if sent.timeout_s is not None:
        deadline = min(deadline, request.state.arrived + sent.timeout_s)
    answer = await service.predict(sent.images, deadline)
    service.record(request.state.request_id, sent.images, answer)
    values = {
        "model_name": settings.model_name,
        "model_version": settings.model_version,
        "id": request.state.request_id if sent.id is None else sent.id,
    }
    body, json_bytes = write_answer(values, answer, model.contract.classes, sent.outputs)
    if json_bytes is None:
        return Response(body, media_type=JSON_TYPE)
    return Response(body, media_type=BINARY_TYPE, headers={HEADER: str(json_bytes)})


async def _read_request(request: Request) -> tensors.InferenceRequest:
    """Return the request; a large JSON is read away from the event loop, bytes are not looked at."""
    if media_type(request) not in (JSON_TYPE, BINARY_TYPE, ""):
        raise WrongTypeError(
            f"content type {reprlib.repr(media_type(request))} is not read here; expected {JSON_TYPE}, "
            f"or {BINARY_TYPE} with {HEADER}"
        )
    service = service_of(request)
    settings = service.settings
    body = await read_body(request, settings.max_body_bytes)
    limits = tensors.RequestLimits(
        settings.max_pixels, settings.max_images, classes=len(service.model.contract.classes)
    )
    json_length = request.headers.get(HEADER)
    read = partial(tensors.read_request, body, json_length, limits)
    is_quick = (len(body) if json_length is None else parse_number(json_length) or 0) <= _QUICK_BYTES
    return read() if is_quick else await service.read(read)


def _service_with_model(request: Request) -> Service:
    """Return the service when the path names its model, and its version if the path names one."""
    service = service_of(request)
    name, version = service.settings.model_name, service.settings.model_version
    asked, asked_version = request.path_params["name"], request.path_params.get("version", version)
    if (asked, asked_version) != (name, version):
        raise UnknownModelError(
            f"no model {asked!r} in version {asked_version!r} here; there is {name!r} in {version!r}"
        )
    return service


def _readiness(service: Service, **values: str) -> JSONResponse:
    is_ready = service.server_state is State.READY
    return JSONResponse(
        {**values, "ready": is_ready, "state": service.server_state}, status_code=200 if is_ready else 503
    )
