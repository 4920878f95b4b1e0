"""An inference request of the Open Inference Protocol v2: the images of its one input, and what is asked of them."""

import math
import reprlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.binary_tensors import HEADER, SIZE, split_body, unpack_pixels
from serving.bundle.contract import Contract
from serving.bundle.decode import Pixels
from serving.errors import BadInputError
from serving.json_body import parse_json, to_uint8
from serving.limits import check_count, check_pixels
from serving.numbers import MAX_NUMBER
from serving.output_tensors import OutputRequest, describe_outputs, read_outputs
from serving.parameters import read_count, read_flag, read_parameters

INPUT = "image"
EXTENSIONS = ("binary_tensor_data", "classification")  # of the protocol, by the names that Triton gave them

_EXPECTED = f'one input "{INPUT}", datatype UINT8, shape [N, H, W] or [N, H, W, C] with C 1 or 3'


@dataclass(frozen=True)
class RequestLimits:
    """What one request may ask of one model."""

    max_pixels: int
    max_images: int
    classes: int


@dataclass(frozen=True)
class InferenceRequest:
    """A request's images, each (H, W) or (H, W, C) uint8; the time it has for an answer, where it says one."""

    id: str | None
    images: list[Pixels]
    outputs: tuple[OutputRequest, ...]
    timeout_s: float | None


def describe(contract: Contract) -> dict[str, Any]:
    """Return a model's inputs and outputs as its metadata names them; -1 is any size."""
    shape = [-1, -1, -1] if contract.channels == 1 else [-1, -1, -1, contract.channels]
    return {
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": shape, "parameters": {"accepts": _EXPECTED}}],
        "outputs": describe_outputs(contract),
    }


def read_request(body: bytes, json_length: str | None, limits: RequestLimits) -> InferenceRequest:
    """Read an inference request; its pixels are in the JSON, flat or nested in row order, or are bytes after it.

    `json_length` is the header that says where the JSON ends, None where the body is JSON alone.

    Raises:
        BadInputError: not JSON, other inputs than this model's, data that does not fit the shape, an unknown output.
        BodyTooLargeError: more images, or more pixels in all, than the limits say.
    """
    text, binary = split_body(body, json_length)
    values = parse_json(text)
    inputs = values.get("inputs") if isinstance(values, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadInputError(f"expected {_EXPECTED}")
    parameters = read_parameters(values, "the request")
    is_binary = bool(read_flag(parameters, "binary_data_output"))
    outputs = read_outputs(values, is_binary=is_binary, classes=limits.classes)
    timeout_us = read_count(parameters, "timeout", least=0, most=MAX_NUMBER)
    images = _read_images(inputs[0], binary, limits)
    return InferenceRequest(_read_id(values), images, outputs, timeout_us / 1e6 if timeout_us else None)


def _read_id(values: dict[str, Any]) -> str | None:
    request_id = values.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise BadInputError(f"the id is {reprlib.repr(request_id)}; expected a text")
    return request_id


def _read_images(tensor: dict[str, Any], binary: memoryview, limits: RequestLimits) -> list[Pixels]:
    name, datatype, shape = (tensor.get(key) for key in ("name", "datatype", "shape"))
    if name != INPUT or datatype != "UINT8":
        raise BadInputError(
            f"got the input {reprlib.repr(name)} of datatype {reprlib.repr(datatype)}; expected {_EXPECTED}"
        )
    sizes: list[int] = shape if isinstance(shape, list) and all(map(_is_size, shape)) else []
    if len(sizes) not in (3, 4) or (len(sizes) == 4 and sizes[3] not in (1, 3)):
        raise BadInputError(f"the input has shape {reprlib.repr(shape)}; expected {_EXPECTED}")
    check_count(sizes[0], limits.max_images)
    check_pixels(math.prod(sizes[:3]), limits.max_pixels)
    data = _read_data(tensor, binary)
    if data.size != math.prod(sizes) or (data.ndim > 1 and list(data.shape) != sizes):
        raise BadInputError(
            f"the data has shape {list(data.shape)}; the input's shape {sizes} needs {math.prod(sizes)} values"
        )
    return list(data.reshape(sizes))


def _read_data(tensor: dict[str, Any], binary: memoryview) -> npt.NDArray[np.uint8]:
    """Return the input's pixels, flat or in their shape: those in the JSON, or the bytes after it."""
    parameters = read_parameters(tensor, f"input {INPUT!r}")
    size = read_count(parameters, SIZE, least=0, most=MAX_NUMBER)
    if (size is None) == ("data" not in tensor):
        raise BadInputError(f"input {INPUT!r} needs either data or the parameter {SIZE!r}")
    if (size or 0) != len(binary):
        raise BadInputError(
            f"input {INPUT!r} has {size or 0} bytes after the JSON, the body has {len(binary)} there: "
            f"the header {HEADER} says where the JSON ends"
        )
    return to_uint8(tensor["data"], f"input {INPUT!r}") if size is None else unpack_pixels(binary)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value <= MAX_NUMBER  # a bool is an int too
