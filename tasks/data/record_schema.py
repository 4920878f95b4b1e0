"""The columns of `serving.records` as Arrow types."""

from collections.abc import Iterable

import pyarrow as pa

from serving.records import Column

_ARROW_TYPES = {
    "timestamp[us, tz=UTC]": pa.timestamp("us", tz="UTC"),
    "string": pa.string(),
    "int32": pa.int32(),
    "float32": pa.float32(),
    "list<float32>": pa.list_(pa.float32()),
    "binary": pa.binary(),
}


def make_schema(columns: Iterable[Column]) -> pa.Schema:
    """Return the columns' schema, in their order."""
    return pa.schema([pa.field(column.name, _ARROW_TYPES[column.type], column.is_nullable) for column in columns])
