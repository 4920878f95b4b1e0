"""Small files that survive a crash: written aside, synced, renamed; a reader sees the old content or the new one.

It stands in the bundle because every stage may import that, the training on a bare machine too.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DRAFT = ".draft-"  # what a kill leaves behind begins with it


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new path beside `path`; what the block writes there becomes the file at `path`, which a power cut keeps.

    A block that raises leaves `path` as it was, and nothing beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{DRAFT}{path.name}-{uuid.uuid4().hex[:8]}")  # two writers do not meet in one draft
    try:
        yield draft
        sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)


def write_durably(path: Path, text: str) -> None:
    """Replace the file at `path` by `text`."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Any) -> None:
    """Replace the file at `path` by `values`, as JSON."""
    write_durably(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in the JSON file at `path`, None where there is no file.

    Raises:
        ValueError: the file holds something else.
        OSError: it cannot be read.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:  # not JSON, or not text
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds {type(values).__name__}, not an object")  # noqa: TRY004 - it is the file's content
    return values


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable: a rename is in the folder, not in the file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
