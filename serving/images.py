"""From a body in any format that `POST /predict` takes to images. Plain Python, off the event loop.

- image/png, image/jpeg: one file;
- application/octet-stream with the header x-image-shape: raw uint8, `H,W`, `H,W,C`, `N,H,W` or `N,H,W,C`;
  without it: one PNG or JPEG file;
- application/json: {"instances": [...]} or {"images": [...]}, each a PNG or JPEG file in base64 or nested
  lists (H, W) or (H, W, 3) of integers 0 to 255.
"""

import base64
import json
import math
import reprlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.bundle.decode import ImageError, Pixels, decode_image
from serving.errors import BadInputError, BodyTooLargeError, WrongTypeError
from serving.numbers import parse_number

SHAPE_HEADER = "x-image-shape"

_FILE_TYPES = ("image/png", "image/jpeg", "image/jpg")
_RAW_TYPE = "application/octet-stream"
_JSON_TYPE = "application/json"
_JSON_KEYS = ("instances", "images")
_MAX_DEPTH = 4  # N, H, W, C


@dataclass(frozen=True)
class ImageRequest:
    """A body with what its headers say of it; `content_type` is without parameters, empty where there was none."""

    body: bytes
    content_type: str
    shape: str | None
    max_pixels: int
    max_images: int


def read_images(request: ImageRequest) -> list[Pixels]:
    """Return the request's images, at least one, each (H, W) or (H, W, 3) uint8.

    Raises:
        WrongTypeError: a content type that is not in this module's list.
        BadInputError: a body that is not what its type says.
        BodyTooLargeError: more than `max_images`, or more than `max_pixels` together.
    """
    if request.content_type == _JSON_TYPE:
        images = _read_json(request)
    elif request.content_type in (_RAW_TYPE, "") and request.shape is not None:
        images = _read_raw(request, request.shape)
    elif request.content_type in (*_FILE_TYPES, _RAW_TYPE, ""):
        images = [_decode(request.body, request.max_pixels, "the body")]
    else:
        expected = ", ".join((*_FILE_TYPES[:2], _JSON_TYPE, f"{_RAW_TYPE} with {SHAPE_HEADER}"))
        raise WrongTypeError(f"content type {request.content_type!r} is not read here; expected one of {expected}")
    check_pixels(images, request.max_pixels)
    return images


def check_pixels(images: list[Pixels], max_pixels: int) -> None:
    """Refuse images that together would take too much memory.

    Raises:
        BodyTooLargeError: more than `max_pixels` in all.
    """
    total = sum(image.shape[0] * image.shape[1] for image in images)
    if total > max_pixels:
        raise BodyTooLargeError(f"the images have {total} pixels together, the limit is {max_pixels}")


def check_count(count: int, max_images: int) -> None:
    """Refuse more images than one request may have, before any of them is looked at.

    Raises:
        BodyTooLargeError: more than `max_images`.
    """
    if count > max_images:
        raise BodyTooLargeError(f"the request has {count} images, the limit is {max_images}: send several requests")


def parse_json(body: bytes) -> Any:
    """Return a JSON body's value.

    Raises:
        BadInputError: it is not JSON, or nested beyond reason.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"the body is not JSON: {error}") from error


def to_uint8(values: Any, where: str) -> Pixels:
    """Return nested lists of integers 0 to 255 as an array.

    Raises:
        BadInputError: ragged lists, other types or values; `where` names the place in the body.
    """
    _check_leaves([values], where, depth=0)
    try:
        array = np.array(values, dtype=np.uint8)
    except ValueError as error:
        raise BadInputError(f"{where} is not an array of integers: {error}") from error
    if array.size == 0:
        raise BadInputError(f"{where}: expected integers 0 to 255, got nothing")
    return array


def _check_leaves(values: list[Any], where: str, *, depth: int) -> None:
    """Refuse what is no integer 0 to 255 before there is an array, in which each value has the longest one's size."""
    if depth > _MAX_DEPTH:
        raise BadInputError(f"{where} has lists in lists in lists: expected {_MAX_DEPTH} dimensions or fewer")
    if set(map(type, values)) == {int} and min(values) >= 0 and max(values) <= 255:
        return  # a row of pixels, at the speed of C
    for value in values:
        if isinstance(value, list):
            _check_leaves(value, where, depth=depth + 1)
        elif type(value) is not int or not 0 <= value <= 255:  # a bool is an int too
            raise BadInputError(f"{where}: expected integers 0 to 255, got {reprlib.repr(value)}")


def _decode(data: bytes, max_pixels: int, where: str) -> Pixels:
    try:
        return decode_image(data, max_pixels)
    except ImageError as error:
        raise BadInputError(f"{where}: {error}") from error


def _read_raw(request: ImageRequest, shape: str) -> list[Pixels]:
    """Return the images of raw bytes. Three numbers that end in 1 or 3 are H,W,C, otherwise N,H,W."""
    body = request.body
    sizes = [parse_number(part) or 0 for part in shape.split(",", maxsplit=4)]
    is_batch = len(sizes) == 4 or (len(sizes) == 3 and sizes[2] not in (1, 3))
    has_channels = len(sizes) == 4 or (len(sizes) == 3 and not is_batch)
    if not 2 <= len(sizes) <= 4 or min(sizes) < 1 or (has_channels and sizes[-1] not in (1, 3)):
        raise BadInputError(
            f"{SHAPE_HEADER} is {reprlib.repr(shape)}; expected H,W or H,W,C or N,H,W or N,H,W,C with C 1 or 3"
        )
    expected = math.prod(sizes)
    if len(body) != expected:
        raise BadInputError(f"{SHAPE_HEADER} {shape} needs {expected} bytes, the body has {len(body)}")
    check_count(sizes[0] if is_batch else 1, request.max_images)
    pixels = np.frombuffer(body, dtype=np.uint8).reshape(sizes)
    return list(pixels) if is_batch else [pixels]


def _read_json(request: ImageRequest) -> list[Pixels]:
    values = parse_json(request.body)
    keys = [key for key in _JSON_KEYS if isinstance(values, dict) and key in values]
    if len(keys) != 1 or not isinstance(values[keys[0]], list) or not values[keys[0]]:
        raise BadInputError('expected {"instances": [image, ...]}, an image being base64 text or nested lists')
    check_count(len(values[keys[0]]), request.max_images)
    images: list[Pixels] = []
    for number, value in enumerate(values[keys[0]]):
        images.append(_read_json_image(value, f"{keys[0]}[{number}]", request.max_pixels))
        check_pixels(images, request.max_pixels)
    return images


def _read_json_image(value: Any, where: str, max_pixels: int) -> Pixels:
    if isinstance(value, str):
        try:
            return _decode(base64.b64decode(value, validate=True), max_pixels, where)
        except ValueError as error:
            raise BadInputError(f"{where} is not base64: {error}") from error
    image = to_uint8(value, where)
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3)):
        return image
    raise BadInputError(f"{where} has shape {image.shape}; expected (H, W) or (H, W, 3)")
