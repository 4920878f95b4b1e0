"""From a body in any format that `POST /predict` takes to images. Plain Python, off the event loop but for raw pixels.

- image/png, image/jpeg: one file;
- multipart/form-data: PNG and JPEG files, one a part, whatever the parts' names and types;
- application/octet-stream with the header x-image-shape: raw uint8, `H,W`, `H,W,C`, `N,H,W` or `N,H,W,C`;
  without it: one PNG or JPEG file;
- application/json: {"instances": [...]} or {"images": [...]}, each a PNG or JPEG file in base64 or nested
  lists (H, W) or (H, W, 3) of integers 0 to 255.
"""

import base64
import math
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.bundle.decode import ImageError, Pixels, decode_image
from serving.errors import BadInputError, WrongTypeError
from serving.json_body import parse_json, to_uint8
from serving.limits import check_count, check_pixels
from serving.multipart import TYPE as MULTIPART_TYPE
from serving.multipart import read_parts
from serving.numbers import parse_number

SHAPE_HEADER = "x-image-shape"
FILE_TYPES = ("image/png", "image/jpeg")
RAW_TYPE = "application/octet-stream"
JSON_TYPE = "application/json"
JSON_KEYS = ("instances", "images")

_OTHER_FILE_TYPES = ("image/jpg", RAW_TYPE, "")


@dataclass(frozen=True)
class ImageRequest:
    """A body with what its headers say of it; `media_type` is its content type without parameters, in lower case."""

    body: bytes
    media_type: str
    content_type: str
    shape: str | None
    max_pixels: int
    max_images: int

    @property
    def is_raw(self) -> bool:
        """Whether the body is pixels, which take a few microseconds to read, however many."""
        return self.shape is not None and self.media_type in (RAW_TYPE, "")


def read_images(request: ImageRequest) -> list[Pixels]:
    """Return the request's images, at least one, each (H, W) or (H, W, C) uint8 with C 1 or 3.

    Raises:
        WrongTypeError: a content type that is not in this module's list.
        BadInputError: a body that is not what its type says.
        BodyTooLargeError: more than `max_images`, or more than `max_pixels` together.
    """
    if request.is_raw:
        return _read_raw(request, request.shape or "")
    if request.media_type in FILE_TYPES or request.media_type in _OTHER_FILE_TYPES:
        return [_decode(request.body, request.max_pixels, "the body")]
    if request.media_type == MULTIPART_TYPE:
        return _read_multipart(request)
    if request.media_type == JSON_TYPE:
        return _read_json(request)
    expected = ", ".join((*FILE_TYPES, MULTIPART_TYPE, JSON_TYPE, f"{RAW_TYPE} with {SHAPE_HEADER}"))
    raise WrongTypeError(
        f"content type {reprlib.repr(request.media_type)} is not read here; expected one of {expected}"
    )


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
    check_pixels(expected // sizes[-1] if has_channels else expected, request.max_pixels)
    pixels = np.frombuffer(body, dtype=np.uint8).reshape(sizes)
    return list(pixels) if is_batch else [pixels]


def _read_multipart(request: ImageRequest) -> list[Pixels]:
    parts = read_parts(request.body, request.content_type, request.max_images)

    def read(number: int) -> Pixels:
        name, content = parts[number]
        return _decode(content, request.max_pixels, f"part {number + 1}, {reprlib.repr(name)}")

    return _read_each(len(parts), read, request.max_pixels)


def _read_json(request: ImageRequest) -> list[Pixels]:
    values = parse_json(request.body)
    keys = [key for key in JSON_KEYS if isinstance(values, dict) and key in values]
    if len(keys) != 1 or not isinstance(values[keys[0]], list) or not values[keys[0]]:
        raise BadInputError('expected {"instances": [image, ...]}, an image being base64 text or nested lists')
    key, images = keys[0], values[keys[0]]
    check_count(len(images), request.max_images)
    return _read_each(
        len(images),
        lambda number: _read_json_image(images[number], f"{key}[{number}]", request.max_pixels),
        request.max_pixels,
    )


def _read_each(count: int, read: Callable[[int], Pixels], max_pixels: int) -> list[Pixels]:
    """Return images read one after the other, until they are too many pixels."""
    images, total = [], 0
    for number in range(count):
        images.append(read(number))
        total += images[-1].shape[0] * images[-1].shape[1]
        check_pixels(total, max_pixels)
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
