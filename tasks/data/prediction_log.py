"""The prediction log, read: the complete segments of a folder, as Arrow batches in the columns of `serving.records`.

Segments come in the order in which they were begun, lines in that of their segment; several writers' lines are not
sorted by time. Memory is bounded by a batch, whatever the log's size. A damaged line is left out, counted and named.
`serving.record_lines` says what a line is.
"""

import base64
import json
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from serving.bundle.decode import is_image_file
from serving.record_lines import FEEDBACK, PREDICTION
from serving.records import COLUMNS, FEEDBACK_COLUMNS, IMAGE, Column, ColumnType
from serving.segments import COMPLETE
from tasks.data.record_schema import make_schema

LOG_COLUMNS = (*COLUMNS, IMAGE)
BATCH_ROWS = 10_000
BATCH_BYTES = 32_000_000  # of lines: a batch of images has fewer rows

_MAX_LINE_BYTES = 256_000_000  # a longer one is no record
_MAX_NAMED = 20
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_KINDS = (PREDICTION, FEEDBACK)


@dataclass
class Damage:
    """Lines that could not be read: their number, and of the first ones `segment:line: what is wrong`.

    `gone` are segments that the server removed to make room before they were opened.
    """

    lines: int = 0
    named: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def add(self, segment: Path, number: int, reason: object) -> None:
        """Count a line, and name it while there are few."""
        self.lines += 1
        if len(self.named) < _MAX_NAMED:
            self.named.append(f"{segment.name}:{number}: {reason}")


def list_segments(folder: Path) -> list[Path]:
    """Return the complete segments of a log, in the order in which they were begun; none where there is no folder."""
    return sorted(folder.glob(f"*{COMPLETE}"))


def read_predictions(
    segments: Iterable[Path], damage: Damage, *, batch_rows: int = BATCH_ROWS, batch_bytes: int = BATCH_BYTES
) -> Iterator[pa.RecordBatch]:
    """Yield the predictions in `LOG_COLUMNS`; their label is null, their image too where the log has none."""
    limits = {"batch_rows": batch_rows, "batch_bytes": batch_bytes}
    yield from _Lines(PREDICTION, LOG_COLUMNS).read(segments, damage, **limits)


def read_feedback(
    segments: Iterable[Path], damage: Damage, *, batch_rows: int = BATCH_ROWS, batch_bytes: int = BATCH_BYTES
) -> Iterator[pa.RecordBatch]:
    """Yield the feedback in `FEEDBACK_COLUMNS`."""
    limits = {"batch_rows": batch_rows, "batch_bytes": batch_bytes}
    yield from _Lines(FEEDBACK, FEEDBACK_COLUMNS).read(segments, damage, **limits)


_OPTIONAL = ("label", IMAGE.name)  # in a line; `is_nullable` is also for references


def _read_time(value: Any) -> datetime:
    if (moment := datetime.fromisoformat(value)).utcoffset() is None:
        raise ValueError("a time without its zone")
    return moment.astimezone(UTC)


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {reprlib.repr(value)}")
    value.encode()  # half a character, which JSON can spell, is none
    return value


def _read_integer(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 31:
        raise ValueError(f"expected a whole number, got {reprlib.repr(value)}")
    return value


def _read_number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= _FLOAT32_MAX:  # which no NaN is
        raise ValueError(f"expected a number, got {reprlib.repr(value)}")
    return float(value)


def _read_embedding(value: Any) -> npt.NDArray[np.float32]:
    embedding = np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
    if not np.isfinite(embedding).all():
        raise ValueError("numbers that are not finite")
    return embedding


def _read_image(value: Any) -> bytes:
    image = base64.b64decode(value, validate=True)
    if not is_image_file(image):
        raise ValueError("neither PNG nor JPEG")
    return image


_READERS: dict[ColumnType, Callable[[Any], Any]] = {
    "timestamp[us, tz=UTC]": _read_time,
    "string": _read_text,
    "int32": _read_integer,
    "float32": _read_number,
    "list<float32>": _read_embedding,
    "binary": _read_image,
}


@dataclass(frozen=True)
class _Lines:
    """Lines of one kind."""

    kind: str
    columns: Sequence[Column]

    def read(
        self, segments: Iterable[Path], damage: Damage, *, batch_rows: int, batch_bytes: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield their records, in batches of up to so many rows and of about so many bytes of lines."""
        rows: list[list[Any]] = []
        size = 0
        for segment in segments:
            for number, line in _lines_of(segment, damage):
                try:
                    row = self._parse(line)
                except (ValueError, TypeError, RecursionError) as error:
                    damage.add(segment, number, error)
                    continue
                if row is None:
                    continue
                rows.append(row)
                size += len(line)
                if len(rows) >= batch_rows or size >= batch_bytes:
                    yield self._make_batch(rows)
                    rows, size = [], 0
        if rows:
            yield self._make_batch(rows)

    def _parse(self, line: bytes) -> list[Any] | None:
        """Return a record's values, None for one of the other kind.

        Raises:
            ValueError, TypeError, RecursionError: it is no record.
        """
        values = json.loads(line.decode())
        kind = values.get("kind") if isinstance(values, dict) else None
        if kind not in _KINDS:
            raise ValueError(f"no record: its kind is {reprlib.repr(kind)}")
        return [_read(column, values.get(column.name)) for column in self.columns] if kind == self.kind else None

    def _make_batch(self, rows: list[list[Any]]) -> pa.RecordBatch:
        schema = make_schema(self.columns)
        arrays = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _read(column: Column, value: Any) -> Any:
    if value is None:
        if column.name in _OPTIONAL and column.is_nullable:
            return None
        raise ValueError(f"no {column.name}")
    try:
        return _READERS[column.type](value)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{column.name}: {error}") from error


def _lines_of(segment: Path, damage: Damage) -> Iterator[tuple[int, bytes]]:
    """Yield a segment's lines with their numbers, from 1; longer ones than a record has are damaged."""
    try:
        stream = segment.open("rb")
    except FileNotFoundError:
        damage.gone.append(segment.name)
        return
    with stream:
        number = 0
        while line := stream.readline(_MAX_LINE_BYTES):
            number += 1
            if line.endswith(b"\n"):
                yield number, line
            else:
                damage.add(segment, number, f"no end of the line within {len(line)} bytes")
