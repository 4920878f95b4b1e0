"""Each route's operations for the OpenAPI document: what it is for, takes and answers, and how it may refuse."""

from collections.abc import Sequence
from typing import Any

from serving.binary_tensors import HEADER
from serving.images import FILE_TYPES, JSON_TYPE, RAW_TYPE
from serving.multipart import TYPE as MULTIPART_TYPE
from serving.openapi_schemas import ref
from serving.tensors import INPUT

Operation = dict[str, Any]

_BYTES: dict[str, Any] = {}  # a body that is no text: OpenAPI 3.1 describes it by its media type alone
_MODEL = "/v2/models/{name}"
_VERSION = _MODEL + "/versions/{version}"
_BODY = (401, 408, 413, 415, 422, 503)


def _json(schema: str, **example: Any) -> dict[str, Any]:
    return {JSON_TYPE: {"schema": ref(schema), **({"example": example} if example else {})}}


def _operation(name: str, summary: str, answer: Operation, refusals: Sequence[int] = (), **more: Any) -> Operation:
    """Return an operation that answers 200 with `answer`, or one of the errors that `refusals` lists."""
    responses = {"200": {"description": summary, **answer}, **_refusals(*refusals)}
    return {"operationId": name, "summary": summary, **more, "responses": responses}


def _refusals(*statuses: int) -> Operation:
    """Return the responses of errors, to which that of a failure inside always belongs."""
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted({*statuses, 500})}


def _parameters(*names: str) -> list[dict[str, str]]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _health(name: str, summary: str, schema: str, refusals: Sequence[int] = ()) -> Operation:
    """Return an operation that answers 200 or 503 with the same schema."""
    operation = _operation(name, summary, {"content": _json(schema)}, refusals)
    operation["responses"]["503"] = {"description": "not ready", "content": _json(schema)}
    return operation


_PREDICT = _operation(
    "predict",
    "Each image's class, its probability, and the classes after it",
    {"content": _json("Predictions")},
    (*_BODY, 504),
    parameters=_parameters("top_k", "x-image-shape", "x-timeout-ms", "x-request-id"),
    requestBody={
        "required": True,
        "content": {
            **dict.fromkeys(FILE_TYPES, _BYTES),
            MULTIPART_TYPE: {"schema": ref("Files")},
            RAW_TYPE: _BYTES,
            **_json("Images", instances=[[[0, 128], [255, 64]]]),
        },
    },
)
_FEEDBACK = {
    "operationId": "feedback",
    "summary": "The true class of an image that was predicted, for the prediction log",
    "parameters": _parameters("x-timeout-ms", "x-request-id"),
    "requestBody": {"required": True, "content": _json("Feedback", request_id="35a0", label="bag")},
    "responses": {
        "202": {"description": "taken, and what the log has of the image", "content": _json("FeedbackAnswer")},
        "404": {"description": "This server keeps no prediction log.", "content": _json("Error")},
        **_refusals(*_BODY, 504),
    },
}


def _infer(name: str, path: Sequence[str]) -> Operation:
    return _operation(
        name,
        "The model's outputs for a batch of images",
        {
            "content": {**_json("InferenceAnswer"), RAW_TYPE: _BYTES},
            "headers": {
                HEADER: {
                    "description": f"bytes of the JSON, where tensors come after it (as {RAW_TYPE})",
                    "schema": {"type": "string", "pattern": "^[0-9]+$"},
                }
            },
        },
        (404, *_BODY, 504),
        parameters=_parameters(*path, HEADER, "x-timeout-ms", "x-request-id"),
        requestBody={
            "required": True,
            "content": {
                **_json(
                    "InferenceRequest",
                    inputs=[{"name": INPUT, "datatype": "UINT8", "shape": [1, 2, 2], "data": [0, 128, 255, 64]}],
                    outputs=[{"name": "probabilities"}],
                ),
                RAW_TYPE: _BYTES,
            },
        },
    )


def _model_paths(path: str, names: tuple[str, ...], suffix: str) -> dict[str, Any]:
    metadata = _operation(
        f"model_metadata{suffix}", "What the model takes and answers", {"content": _json("Model")}, (404, 503)
    )
    ready = _health(f"model_ready{suffix}", "Whether the model answers rightly", "ModelReady", (404,))
    return {
        path: {"get": {**metadata, "parameters": _parameters(*names)}},
        f"{path}/ready": {"get": {**ready, "parameters": _parameters(*names)}},
        f"{path}/infer": {"post": _infer(f"infer{suffix}", names)},
    }


PATHS: dict[str, Any] = {
    "/predict": {"post": _PREDICT},
    "/feedback": {"post": _FEEDBACK},
    "/v2": {"get": _operation("server_metadata", "What server this is", {"content": _json("Server")})},
    "/v2/health/live": {"get": _operation("live", "Whether the process answers", {"content": _json("Live")})},
    "/v2/health/ready": {"get": _health("ready", "Whether the server answers rightly", "Ready")},
    **_model_paths(_MODEL, ("name",), ""),
    **_model_paths(_VERSION, ("name", "version"), "_version"),
    "/metrics": {
        "get": _operation(
            "metrics", "Metrics for Prometheus", {"content": {"text/plain": {"schema": {"type": "string"}}}}
        )
    },
    "/openapi.json": {
        "get": _operation("openapi", "This document", {"content": {JSON_TYPE: {"schema": {"type": "object"}}}}, (503,))
    },
}
