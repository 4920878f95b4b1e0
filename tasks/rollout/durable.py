"""Small files that survive a crash: written aside, synced, renamed; a reader sees the old text or the new one."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_durably(path: Path, text: str) -> None:
    """Replace the file at `path` by `text`: after this returns, a power cut keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a rename is in the folder, not in the file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in the JSON file at `path`, None where there is no file.

    Raises:
        ValueError: the file holds something else.
        OSError: it cannot be read.
    """
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds {type(values).__name__}, not an object")  # noqa: TRY004 - it is the file's content
    return values
