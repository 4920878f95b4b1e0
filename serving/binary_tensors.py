"""The binary tensor extension of the Open Inference Protocol: a body is JSON, and after it the bytes of its tensors.

Bytes are little-endian and in row order; an element of BYTES is its length in four bytes, and then itself.
Source: https://github.com/triton-inference-server/server, docs/protocol/extension_binary_data.md
"""

import json
import reprlib
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.errors import BadInputError
from serving.numbers import parse_number

HEADER = "Inference-Header-Content-Length"  # bytes of a body's JSON
SIZE = "binary_data_size"  # a tensor's parameter: it is in the body after the JSON, so many bytes


def split_body(body: bytes, header: str | None) -> tuple[bytes, memoryview]:
    """Return a body's JSON and the bytes after it, of which there are none where it has no `HEADER`.

    Raises:
        BadInputError: the header is no length, or is beyond the body.
    """
    if header is None:
        return body, memoryview(b"")
    length = parse_number(header)
    if not length or length > len(body):
        raise BadInputError(
            f"{HEADER} is {reprlib.repr(header)}; expected the length of the JSON, "
            f"from 1 to the body's {len(body)} bytes"
        )
    return body[:length], memoryview(body)[length:]


def join_body(values: dict[str, Any], tensors: Iterable[bytes]) -> tuple[bytes, int]:
    """Return a body of `values` as JSON and the tensors after it, and the JSON's length in bytes."""
    text = json.dumps(values, separators=(",", ":")).encode()
    return b"".join((text, *tensors)), len(text)


def pack_numbers(array: npt.NDArray[Any]) -> bytes:
    """Return an array's numbers as a tensor's bytes."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def pack_texts(texts: Iterable[str]) -> bytes:
    """Return texts as the bytes of a tensor of BYTES."""
    return b"".join(struct.pack("<I", len(data)) + data for data in (text.encode() for text in texts))


def unpack_pixels(data: memoryview) -> npt.NDArray[np.uint8]:
    """Return the flat UINT8 tensor that the bytes are; it cannot be written to."""
    return np.frombuffer(data, dtype=np.uint8)
