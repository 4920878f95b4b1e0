"""What came of a prediction: the class that an image truly has, told later by someone who knows. Off the event loop.

    {"request_id": "...", "label": "bag", "index": 0, "image": "base64 of a PNG or JPEG file"}

`index` is the image's place in its request (0 where it is left out); `image` is for where the log does not have it.
"""

import base64
import re
import reprlib
from dataclasses import dataclass
from typing import Any

from serving.bundle.decode import ImageError, decode_image
from serving.errors import BadInputError
from serving.json_body import parse_json
from serving.request_ids import REQUEST_ID

MAX_LABEL = 256  # characters

_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which JSON can spell and UTF-8 cannot
_KEYS = ("request_id", "label", "index", "image")


@dataclass(frozen=True)
class Feedback:
    """One image's true class, by any name; `image` is the file as it was sent, if it was."""

    request_id: str
    label: str
    index: int
    image: bytes | None


def read_feedback(body: bytes, *, max_pixels: int, max_images: int) -> Feedback:
    """Return a feedback, whose image, if it has one, can be decoded.

    Raises:
        BadInputError: not JSON, other keys than these, or a value that is not what its key needs.
    """
    values = parse_json(body)
    if not isinstance(values, dict):
        raise BadInputError(f'expected {{"request_id": ..., "label": ...}}, got {reprlib.repr(values)}')
    if unknown := [key for key in values if key not in _KEYS]:
        raise BadInputError(f"unknown key {reprlib.repr(unknown[0])}; there are {', '.join(_KEYS)}")
    return Feedback(
        request_id=_read_request_id(values.get("request_id")),
        label=_read_label(values.get("label")),
        index=_read_index(values.get("index", 0), max_images),
        image=_read_image(values.get("image"), max_pixels),
    )


def _read_request_id(value: Any) -> str:
    if not isinstance(value, str) or not REQUEST_ID.fullmatch(value):
        raise BadInputError(
            f"request_id is {reprlib.repr(value)}; expected the x-request-id of a prediction's answer: 1 to 128 "
            "letters, digits and ._:-"
        )
    return value


def _read_label(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_LABEL or _SURROGATE.search(value):
        raise BadInputError(f"label is {reprlib.repr(value)}; expected a class's name, 1 to {MAX_LABEL} characters")
    return value


def _read_index(value: Any, max_images: int) -> int:
    if type(value) is not int or not 0 <= value < max_images:  # a bool is an int too
        raise BadInputError(
            f"index is {reprlib.repr(value)}; expected the image's place in its request, 0 to {max_images - 1}"
        )
    return value


def _read_image(value: Any, max_pixels: int) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadInputError(f"image is {reprlib.repr(value)}; expected a PNG or JPEG file in base64")
    try:
        data = base64.b64decode(value, validate=True)
    except ValueError as error:
        raise BadInputError(f"image is not base64: {error}") from error
    try:
        decode_image(data, max_pixels)
    except ImageError as error:
        raise BadInputError(f"image: {error}") from error
    return data
