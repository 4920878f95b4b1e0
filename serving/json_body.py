"""JSON that a client sent, and pixels in it as nested lists."""

import json
import reprlib
from typing import Any

import numpy as np

from serving.bundle.decode import Pixels
from serving.errors import BadInputError

_MAX_DEPTH = 4  # N, H, W, C


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
