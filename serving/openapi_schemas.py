"""The JSON Schemas of what a server takes and answers, within its limits and with its model's classes."""

from typing import Any

from serving.bundle.contract import Contract
from serving.feedback import MAX_LABEL
from serving.numbers import MAX_NUMBER
from serving.output_tensors import OUTPUTS
from serving.request_ids import REQUEST_ID
from serving.settings import ServerSettings
from serving.state import State
from serving.tensors import EXTENSIONS, INPUT

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_BOOLEAN: Schema = {"type": "boolean"}
_PARAMETER: Schema = {"type": ["string", "number", "boolean"]}
_PIXEL: Schema = {"type": "integer", "minimum": 0, "maximum": 255}
_DATATYPE: Schema = {"enum": ["UINT8", "FP32", "INT64", "BYTES"]}


def make_schemas(contract: Contract, settings: ServerSettings) -> dict[str, Schema]:
    """Return the document's schemas by name."""
    return {
        "Error": _object({"error": _TEXT, "request_id": _TEXT}),
        **_predict_schemas(contract, settings),
        **_inference_schemas(contract, settings),
        **_state_schemas(contract, settings),
        **_feedback_schemas(settings),
    }


def ref(name: str) -> Schema:
    """Return a reference to the schema `name`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Schema], **more: Any) -> Schema:
    """Return the schema of an object of exactly these properties, all of them required unless `more` says otherwise."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


def _list(items: Schema, most: int | None = None, *, least: int = 1) -> Schema:
    return {"type": "array", "items": items, "minItems": least, **({} if most is None else {"maxItems": most})}


def _nested(depth: int) -> Schema:
    return _PIXEL if depth == 0 else _list(_nested(depth - 1))


def _parameters(**known: Schema) -> Schema:
    return {"type": ["object", "null"], "properties": known, "additionalProperties": _PARAMETER}


def _predict_schemas(contract: Contract, settings: ServerSettings) -> dict[str, Schema]:
    classes = len(contract.classes)
    ranked: dict[str, Schema] = {
        "class": {"type": "integer", "minimum": 0, "maximum": classes - 1},
        "label": {"enum": list(contract.classes)},
        "probability": {"type": "number", "minimum": 0, "description": "from 0 to 1, within float32's rounding"},
    }
    images = _list(ref("Image"), settings.max_images)
    return {
        "Image": {
            "description": "a PNG or JPEG file in base64, or pixels as nested lists (H, W), (H, W, 1) or (H, W, 3)",
            "anyOf": [{**_TEXT, "contentEncoding": "base64"}, _nested(2), _list(_list(_channels()))],
        },
        "Images": {
            "oneOf": [
                {"type": "object", "properties": {key: images}, "required": [key]} for key in ("instances", "images")
            ]
        },
        "Files": {
            "description": "PNG and JPEG files, one a part; the parts' names are free",
            "type": "object",
            "properties": {"file": _list({"contentMediaType": "application/octet-stream"}, settings.max_images)},
            "required": ["file"],
        },
        "Ranked": _object(ranked),
        "Predicted": _object({**ranked, "top_k": _list(ref("Ranked"), classes)}),
        "Predictions": _object(
            {
                "model": {"const": settings.model_name},
                "version": {"const": settings.model_version},
                "digest": _TEXT,
                "request_id": _TEXT,
                "predictions": _list(ref("Predicted"), settings.max_images),
            }
        ),
    }


def _channels() -> Schema:
    """Return the schema of one pixel's one or three channels."""
    return {"anyOf": [_list(_PIXEL, 1), _list(_PIXEL, 3, least=3)]}


def _inference_schemas(contract: Contract, settings: ServerSettings) -> dict[str, Schema]:
    size: Schema = {"type": "integer", "minimum": 1, "maximum": settings.max_pixels}
    count: Schema = {**size, "maximum": settings.max_images}
    bytes_size: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER}
    input_properties: dict[str, Schema] = {
        "name": {"const": INPUT},
        "datatype": {"const": "UINT8"},
        "shape": {
            "description": "[N, H, W] or [N, H, W, C]",
            "type": "array",
            "prefixItems": [count, size, size, {"enum": [1, 3]}],
            "minItems": 3,
            "maxItems": 4,
        },
        "parameters": _parameters(binary_data_size=bytes_size),
        "data": {
            "description": "flat in row order or nested in the shape",
            "anyOf": [_nested(depth) for depth in range(1, 5)],
        },
    }
    request_properties: dict[str, Schema] = {
        "id": {"type": ["string", "null"]},
        "parameters": _parameters(
            binary_data_output=_BOOLEAN,
            timeout={**bytes_size, "description": "microseconds from the request's arrival; 0 is none"},
        ),
        "inputs": _list(ref("InferenceInput"), 1),
        "outputs": {"type": ["array", "null"], "items": ref("RequestedOutput")},
    }
    return {
        "InferenceInput": {
            "type": "object",
            "properties": input_properties,
            "required": ["name", "datatype", "shape"],
        },
        "RequestedOutput": {
            "type": "object",
            "properties": {
                "name": {"enum": list(OUTPUTS)},
                "parameters": _parameters(
                    binary_data=_BOOLEAN,
                    classification={
                        "description": "of the output probabilities: so many classes, ranked, as texts",
                        "type": "integer",
                        "minimum": 1,
                        "maximum": len(contract.classes),
                    },
                ),
            },
            "required": ["name"],
        },
        "InferenceRequest": {"type": "object", "properties": request_properties, "required": ["inputs"]},
        "InferenceAnswer": _inference_answer(settings),
    }


def _inference_answer(settings: ServerSettings) -> Schema:
    described = {"name": {"enum": list(OUTPUTS)}, "datatype": _DATATYPE, "shape": _list({"type": "integer"}, 2)}
    in_json = _object({**described, "data": {"type": "array", "items": {"type": ["number", "string"]}}})
    binary_size: Schema = _object({"binary_data_size": {"type": "integer", "minimum": 0}})
    in_bytes = _object({**described, "parameters": binary_size})
    return _object(
        {
            "model_name": {"const": settings.model_name},
            "model_version": {"const": settings.model_version},
            "id": _TEXT,
            "outputs": _list({"anyOf": [in_json, in_bytes]}, len(OUTPUTS)),
        }
    )


def _state_schemas(contract: Contract, settings: ServerSettings) -> dict[str, Schema]:
    readiness = {"ready": _BOOLEAN, "state": {"enum": [str(state) for state in State]}}
    tensor = {
        "name": _TEXT,
        "datatype": _DATATYPE,
        "shape": _list({"type": "integer"}),
        "parameters": {"type": "object"},
    }
    tensors = _list(_object(tensor, required=["name", "datatype", "shape"]))
    return {
        "Live": _object({"live": {"const": True}}),
        "Ready": _object(readiness),
        "ModelReady": _object({"name": {"const": settings.model_name}, **readiness}),
        "Server": _object({"name": _TEXT, "version": _TEXT, "extensions": {"const": list(EXTENSIONS)}}),
        "Model": _object(
            {
                "name": {"const": settings.model_name},
                "versions": {"const": [settings.model_version]},
                "platform": _TEXT,
                "inputs": tensors,
                "outputs": tensors,
                "parameters": _object(
                    {
                        "digest": _TEXT,
                        "weights_sha256": _TEXT,
                        "data_digest": _TEXT,
                        "architecture": _TEXT,
                        "classes": {"const": list(contract.classes)},
                    }
                ),
            }
        ),
    }


def _feedback_schemas(settings: ServerSettings) -> dict[str, Schema]:
    request_id: Schema = {**_TEXT, "pattern": f"^{REQUEST_ID.pattern}$"}
    index: Schema = {"type": "integer", "minimum": 0, "maximum": settings.max_images - 1}
    label: Schema = {**_TEXT, "minLength": 1, "maxLength": MAX_LABEL}
    file: Schema = {"type": ["string", "null"], "contentEncoding": "base64"}
    return {
        "Feedback": _object(
            {
                "request_id": {**request_id, "description": "the header x-request-id of the prediction's answer"},
                "label": {**label, "description": "the true class's name"},
                "index": {**index, "description": "which of the request's images; 0, the first, if left out"},
                "image": {**file, "description": "the PNG or JPEG file, where the log does not have it"},
            },
            required=["request_id", "label"],
        ),
        "FeedbackAnswer": _object(
            {"request_id": request_id, "index": index, "label": label, "image": {"enum": ["sent", "logged", "none"]}}
        ),
    }
