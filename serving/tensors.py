"""Tensors of the Open Inference Protocol v2: images in, probabilities, embeddings, classes and labels out."""

import math
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.bundle.contract import Contract
from serving.bundle.decode import Pixels
from serving.errors import BadInputError
from serving.images import check_count, check_pixels, parse_json, to_uint8
from serving.numbers import MAX_NUMBER
from serving.prediction import Prediction

INPUT = "image"

_EXPECTED = f'one input "{INPUT}", datatype UINT8, shape [N, H, W] or [N, H, W, C] with C 1 or 3'


@dataclass(frozen=True)
class InferenceRequest:
    """A request's images, each (H, W) or (H, W, C) uint8; `outputs` are the names asked for, all of them if empty."""

    id: str | None
    images: list[Pixels]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class _Output:
    datatype: str
    shape: Callable[[Contract], list[int]]
    data: Callable[[Prediction, tuple[str, ...]], tuple[list[int], list[Any]]]


def describe(contract: Contract) -> dict[str, Any]:
    """Return a model's inputs and outputs as its metadata names them; -1 is any size."""
    shape = [-1, -1, -1] if contract.channels == 1 else [-1, -1, -1, contract.channels]
    return {
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": shape, "parameters": {"accepts": _EXPECTED}}],
        "outputs": [
            {"name": name, "datatype": output.datatype, "shape": output.shape(contract)}
            for name, output in _OUTPUTS.items()
        ],
    }


def read_request(body: bytes, *, max_pixels: int, max_images: int) -> InferenceRequest:
    """Read an inference request; tensor data may be flat or nested, in row-major order.

    Raises:
        BadInputError: not JSON, other inputs than this model's, data that does not fit the shape, an unknown output.
        BodyTooLargeError: more than `max_images`, or more than `max_pixels` in all.
    """
    values = parse_json(body)
    inputs = values.get("inputs") if isinstance(values, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadInputError(f"expected {_EXPECTED}")
    images = _read_images(inputs[0], max_images)
    check_pixels(images, max_pixels)
    request_id = values.get("id")
    return InferenceRequest(None if request_id is None else str(request_id), images, _read_outputs(values))


def write_outputs(answer: Prediction, classes: tuple[str, ...], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the outputs `names` (all if empty) with flat data."""
    outputs = []
    for name in names or _OUTPUTS:
        shape, data = _OUTPUTS[name].data(answer, classes)
        outputs.append({"name": name, "datatype": _OUTPUTS[name].datatype, "shape": shape, "data": data})
    return outputs


def _read_images(tensor: dict[str, Any], max_images: int) -> list[Pixels]:
    name, datatype, shape = (tensor.get(key) for key in ("name", "datatype", "shape"))
    if name != INPUT or datatype != "UINT8" or "data" not in tensor:
        raise BadInputError(
            f"got the input {reprlib.repr(name)} of datatype {reprlib.repr(datatype)}; expected {_EXPECTED}, and data"
        )
    sizes: list[int] = shape if isinstance(shape, list) and all(map(_is_size, shape)) else []
    if len(sizes) not in (3, 4) or (len(sizes) == 4 and sizes[3] not in (1, 3)):
        raise BadInputError(f"the input has shape {reprlib.repr(shape)}; expected {_EXPECTED}")
    check_count(sizes[0], max_images)
    data = to_uint8(tensor["data"], f"input {INPUT!r}")
    if data.size != math.prod(sizes) or (data.ndim > 1 and list(data.shape) != sizes):
        raise BadInputError(
            f"the data has shape {list(data.shape)}; the input's shape {sizes} needs {math.prod(sizes)} values"
        )
    return list(data.reshape(sizes))


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value <= MAX_NUMBER  # a bool is an int too


def _read_outputs(values: dict[str, Any]) -> tuple[str, ...]:
    asked = values.get("outputs", [])
    if not isinstance(asked, list):
        raise BadInputError(f'outputs is {reprlib.repr(asked)}; expected a list of {{"name": ...}}')
    names: dict[str, None] = {}  # a set in order: an output asked for a million times is one
    for output in asked:
        name = output.get("name") if isinstance(output, dict) else output
        if not isinstance(name, str) or name not in _OUTPUTS:
            raise BadInputError(f"unknown output {reprlib.repr(name)}; there are {', '.join(_OUTPUTS)}")
        names[name] = None
    return tuple(names)


def _winners(answer: Prediction) -> list[int]:
    winners: list[int] = answer.probabilities.argmax(axis=1).tolist()
    return winners


def _flat(array: np.ndarray[Any, np.dtype[np.float32]]) -> tuple[list[int], list[Any]]:
    return list(array.shape), array.ravel().tolist()


def _labels(answer: Prediction, classes: tuple[str, ...]) -> tuple[list[int], list[Any]]:
    return [len(answer.probabilities)], [classes[winner] for winner in _winners(answer)]


_OUTPUTS = {
    "probabilities": _Output(
        "FP32", lambda contract: [-1, len(contract.classes)], lambda answer, _: _flat(answer.probabilities)
    ),
    "embedding": _Output(
        "FP32", lambda contract: [-1, contract.embedding_size], lambda answer, _: _flat(answer.embeddings)
    ),
    "class": _Output("INT64", lambda _: [-1], lambda answer, _: ([len(answer.probabilities)], _winners(answer))),
    "label": _Output("BYTES", lambda _: [-1], _labels),
}
