"""Parquet files with the columns `image` (bytes, or a struct with `bytes`), `label`, and maybe `split`, `added_at`."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.dataset import Split
from tasks.data.sources.addresses import Address, FoundFile, fingerprint, list_files, open_address
from tasks.data.sources.raw import RawImage, Source
from tasks.errors import DataError

SPLITS = {split.title: split for split in Split} | {"val": Split.VALIDATION}
REQUIRED = ("image", "label")
OPTIONAL = ("split", "added_at")
BATCH_ROWS = 256


def open_parquet(location: str, name: str, root: Path) -> Source:
    """Return the source of a Parquet file, or of a folder of them.

    Raises:
        DataError: no Parquet file, a column is missing, or a split has an unknown name.
    """
    address = open_address(location, root)
    files = [file for file in list_files(address) if file.relative.endswith(".parquet")]
    if not files:
        raise DataError(f"{address.text} holds no .parquet file")
    return Source(
        name=name,
        kind="parquet",
        fingerprint=fingerprint(address, files),
        size_bytes=sum(file.size_bytes for file in files),
        n_images=sum(_check(address, file) for file in files),
        read=lambda: (image for file in files for image in _read(address, file)),
        publishes=frozenset(split for file in files for split in _published(address, file)),
    )


def _check(address: Address, file: FoundFile) -> int:
    """Return the file's number of rows once its columns are known to be there."""
    try:
        with address.fs.open(file.path, "rb") as stream, pq.ParquetFile(stream) as table:
            columns, rows = table.schema_arrow.names, table.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.path} cannot be read as Parquet: {error}") from error
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise DataError(f"{file.path} has no column {' and '.join(missing)}: it has {', '.join(columns)}")
    return int(rows)


def _published(address: Address, file: FoundFile) -> set[Split]:
    with address.fs.open(file.path, "rb") as stream, pq.ParquetFile(stream) as table:
        if "split" not in table.schema_arrow.names:
            return set()
        values = table.read(columns=["split"]).column("split").unique().to_pylist()
    return {split for value in values if (split := _split(value, file)) is not None}


def _read(address: Address, file: FoundFile) -> Iterator[RawImage]:
    with address.fs.open(file.path, "rb") as stream, pq.ParquetFile(stream) as table:
        columns = [name for name in (*REQUIRED, *OPTIONAL) if name in table.schema_arrow.names]
        row = 0
        for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=columns):
            for values in batch.to_pylist():
                yield _raw_image(values, file, row)
                row += 1


def _raw_image(values: dict[str, Any], file: FoundFile, row: int) -> RawImage:
    image, label, added_at = values["image"], values["label"], values.get("added_at")
    data = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(data, bytes | None):
        raise DataError(f"{file.path}: row {row} has {type(data).__name__} as image, expected the bytes of a file")
    moment = added_at.isoformat() if isinstance(added_at, date) else str(added_at or file.modified_at)
    split = _split(values.get("split"), file)
    return RawImage(data or b"", None if label is None else str(label), split, f"{file.relative}[{row}]", moment)


def _split(value: str | None, file: FoundFile) -> Split | None:
    if value is None:
        return None
    if value not in SPLITS:
        raise DataError(f"{file.path} has the split {value!r}; known are {', '.join(SPLITS)}")
    return SPLITS[value]
