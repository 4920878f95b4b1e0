"""The parts of a multipart/form-data body, within bounds; what they hold is for others to say."""

import logging
import reprlib
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serving.errors import BadInputError
from serving.limits import check_count

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

TYPE = "multipart/form-data"

_MAX_TYPE_CHARACTERS = 512  # of the content type; its boundary has 70 at most, by RFC 2046 section 5.1.1
_MAX_HEADERS = 8  # of a part; clients send two
_MAX_HEADER_BYTES = 4096  # of one of them

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every client's mistake


def read_parts(body: bytes, content_type: str, max_parts: int) -> list[tuple[str, bytes]]:
    """Return each part's name (its file's, its field's, or none) and its content; at least one part.

    Raises:
        BadInputError: no boundary, a damaged or truncated body, no part, or headers beyond reason.
        BodyTooLargeError: more than `max_parts`.
    """
    boundary = _read_boundary(content_type)
    collector = _Collector(max_parts)
    try:
        parser = MultipartParser(
            boundary, collector.callbacks(), max_header_count=_MAX_HEADERS, max_header_size=_MAX_HEADER_BYTES
        )
        parser.write(body)
    except FormParserError as error:
        raise BadInputError(f"the multipart body cannot be read: {error}") from error
    if not collector.is_complete:
        raise BadInputError(f"truncated multipart body: no closing boundary in {len(body)} bytes")
    if not collector.parts:
        raise BadInputError("the multipart body has no part: send a file")
    return collector.parts


def _read_boundary(content_type: str) -> bytes:
    boundary = b""
    if len(content_type) <= _MAX_TYPE_CHARACTERS:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise BadInputError(f"content type {reprlib.repr(content_type)}: expected {TYPE}; boundary=...")
    return boundary


class _Collector:
    """Takes what the parser finds; the body comes in one piece, so each callback has a whole value."""

    def __init__(self, max_parts: int) -> None:
        self.parts: list[tuple[str, bytes]] = []
        self.is_complete = False
        self._max_parts = max_parts
        self._header = ""
        self._name = ""
        self._content = b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._take_header,
            "on_header_value": self._take_value,
            "on_part_data": self._take_data,
            "on_part_end": self._end,
            "on_end": self._complete,
        }

    def _begin(self) -> None:
        check_count(len(self.parts) + 1, self._max_parts)
        self._name, self._content = "", b""

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._header = data[start:end].decode("latin-1").lower()

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        if self._header == "content-disposition":
            options = parse_options_header(data[start:end])[1]
            self._name = options.get(b"filename", options.get(b"name", b"")).decode("utf-8", "replace")

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        self._content = data[start:end]

    def _end(self) -> None:
        self.parts.append((self._name, self._content))

    def _complete(self) -> None:
        self.is_complete = True
