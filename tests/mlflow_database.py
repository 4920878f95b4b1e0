"""A real MLflow database without a server: the same store code, without the minute that a server takes to start."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.engine import Engine

from tasks.registry.client import connect


@contextmanager
def open_database(folder: Path) -> Iterator[str]:
    """Yield the address of an empty database in `folder`."""
    with without_durability(), pytest.MonkeyPatch.context() as patch:
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        patch.chdir(folder)  # a client without a server puts its default artifacts below the current folder
        connect(uri).search_experiments()
        patch.undo()
        yield uri


@contextmanager
def without_durability() -> Iterator[None]:
    """Let SQLite skip its fsyncs: no test cuts the power, and each commit would cost tens of milliseconds."""

    def forget(connection, _record):
        connection.execute("PRAGMA synchronous = OFF")

    sqlalchemy.event.listen(Engine, "connect", forget)
    yield
    sqlalchemy.event.remove(Engine, "connect", forget)
