"""The OpenAPI 3.1 document of one server: its routes, with the limits, classes and errors that it really has.

Source: https://spec.openapis.org/oas/v3.1.0
"""

from collections.abc import Collection
from typing import Any

from serving.binary_tensors import HEADER
from serving.bundle.contract import Contract
from serving.deadline import TIMEOUT_HEADER
from serving.errors import RequestError, UnauthorizedError, UnavailableError
from serving.images import SHAPE_HEADER
from serving.numbers import MAX_NUMBER
from serving.openapi_paths import PATHS
from serving.openapi_schemas import make_schemas, ref
from serving.settings import ServerSettings

Document = dict[str, Any]

_SCHEME = "bearer"
_UNAUTHORIZED = str(UnauthorizedError.status)

_DESCRIPTION = """\
Answers images with their classes: `/predict` for people, `/v2` by the Open Inference Protocol for programs.

Every answer has the headers `x-request-id`, `x-evergreen-version` and, once the model is loaded, `x-evergreen-digest`.
A body has at most {max_body_bytes} bytes, at most {max_images} images, at most {max_pixels} pixels in all, and no
content encoding.
"""


def build_document(contract: Contract, settings: ServerSettings, paths: Collection[str]) -> Document:
    """Return the document of a server that serves a model with `contract` on `paths`, the patterns of its routes."""
    limits = {name: getattr(settings, name) for name in ("max_body_bytes", "max_images", "max_pixels")}
    operations = {
        path: {method: _guard(operation, has_token=bool(settings.token)) for method, operation in methods.items()}
        for path, methods in PATHS.items()
        if path in paths
    }
    document: Document = {
        "openapi": "3.1.0",
        "info": {
            "title": f"Evergreen: {settings.model_name}",
            "version": settings.model_version,
            "description": _DESCRIPTION.format(**limits),
        },
        "paths": operations,
        "components": {
            "schemas": make_schemas(contract, settings),
            "parameters": _make_parameters(contract, settings),
            "responses": {str(error.status): _make_response(error) for error in RequestError.__subclasses__()},
        },
    }
    if settings.token:
        document["components"]["securitySchemes"] = {_SCHEME: {"type": "http", "scheme": "bearer"}}
    return document


def _make_parameters(contract: Contract, settings: ServerSettings) -> dict[str, Any]:
    return {
        "name": _path_parameter("name", settings.model_name),
        "version": _path_parameter("version", settings.model_version),
        "top_k": {
            "name": "top_k",
            "in": "query",
            "description": "how many classes an image's answer names",
            "schema": {"type": "integer", "minimum": 1, "maximum": len(contract.classes)},
        },
        SHAPE_HEADER: _header_parameter(
            SHAPE_HEADER,
            "of a body of raw uint8 pixels: H,W or H,W,C or N,H,W or N,H,W,C, with C 1 or 3",
            {"type": "string", "pattern": "^[0-9]+(,[0-9]+){1,3}$"},
        ),
        HEADER: _header_parameter(
            HEADER,
            "where the body has binary tensors after its JSON: the bytes of the JSON",
            {"type": "integer", "minimum": 1, "maximum": settings.max_body_bytes},
        ),
        TIMEOUT_HEADER: _header_parameter(
            TIMEOUT_HEADER,
            "milliseconds, from the request's arrival, after which an answer is of no use",
            {"type": "integer", "minimum": 1, "maximum": MAX_NUMBER},
        ),
        "x-request-id": _header_parameter(
            "x-request-id",
            "kept, if it is 1 to 128 letters, digits and ._:-",
            {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
        ),
    }


def _path_parameter(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": [value]}}


def _header_parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _make_response(error: type[RequestError]) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": (error.__doc__ or "").partition("\n")[0],
        "content": {"application/json": {"schema": ref("Error")}},
    }
    if error is UnavailableError:
        schema = {"type": "string", "pattern": "^[0-9]+$"}
        response["headers"] = {"retry-after": {"description": "seconds", "schema": schema}}
    return response


def _guard(operation: dict[str, Any], *, has_token: bool) -> dict[str, Any]:
    """Return an operation that asks for a token where it is one that may, and the server has one."""
    responses = operation["responses"]
    if _UNAUTHORIZED not in responses:
        return operation
    if has_token:
        return {**operation, "security": [{_SCHEME: []}]}
    return {
        **operation,
        "responses": {status: answer for status, answer in responses.items() if status != _UNAUTHORIZED},
    }
