"""The Open Inference Protocol, version 2, REST with JSON tensors.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md
"""

from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse

from serving import tensors
from serving.body import read_body
from serving.errors import UnknownModelError, WrongTypeError
from serving.routes.state import media_type, service_of
from serving.service import Service, State

_JSON_TYPES = ("application/json", "")
_BINARY_HEADER = "inference-header-content-length"
_PROTOCOL = "2"


async def live(_: Request) -> JSONResponse:
    """Answer 200 as long as the process can answer at all."""
    return JSONResponse({"live": True})


async def ready(request: Request) -> JSONResponse:
    """Answer 200 when the golden answers were right and the server is not draining, else 503."""
    return _readiness(service_of(request))


async def server_metadata(_: Request) -> JSONResponse:
    """Say what server this is."""
    return JSONResponse({"name": "evergreen", "version": _PROTOCOL, "extensions": []})


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
    return _readiness(_service_with_model(request))


async def infer(request: Request) -> JSONResponse:
    """Answer an inference request."""
    service = _service_with_model(request)
    contract = service.model.contract
    if media_type(request) not in _JSON_TYPES or _BINARY_HEADER in request.headers:
        raise WrongTypeError(f"content type {media_type(request)!r}: expected application/json without binary tensors")
    body = await read_body(request, service.settings.max_body_bytes)
    settings = service.settings
    limits = {"max_pixels": settings.max_pixels, "max_images": settings.max_images}
    sent = await service.read(partial(tensors.read_request, body, **limits))
    answer = await service.predict(sent.images)
    return JSONResponse(
        {
            "model_name": service.settings.model_name,
            "model_version": service.settings.model_version,
            "id": sent.id or request.state.request_id,
            "outputs": tensors.write_outputs(answer, contract.classes, sent.outputs),
        }
    )


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


def _readiness(service: Service) -> JSONResponse:
    is_ready = service.state is State.READY
    return JSONResponse({"ready": is_ready, "state": service.state}, status_code=200 if is_ready else 503)
