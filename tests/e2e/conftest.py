import contextlib
import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tasks.data.sources.fashion_files import obtain_files
from tasks.data.sources.raw import report_nothing
from tasks.errors import DataError
from tests.e2e.project import SOURCE, Project, copy_project

TRAIN, TEST = 6000, 2000  # images: the real ones, the first of each file


@pytest.fixture(scope="session")
def fashion_mnist() -> Path:
    """The folder with Fashion-MNIST's four files."""
    try:
        return obtain_files(SOURCE / ".evergreen", report_nothing)
    except DataError as error:
        pytest.skip(f"Fashion-MNIST cannot be had here: {error}")


@pytest.fixture(scope="session")
def few_images(fashion_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An IDX folder with the first real images of each file."""
    folder = tmp_path_factory.mktemp("idx")
    for name, count in (("train", TRAIN), ("t10k", TEST)):
        shrink(fashion_mnist, folder, f"{name}-images-idx3-ubyte.gz", count, header=16, item=784)
        shrink(fashion_mnist, folder, f"{name}-labels-idx1-ubyte.gz", count, header=8, item=1)
    return folder


def shrink(source: Path, target: Path, name: str, count: int, *, header: int, item: int) -> None:
    """Copy the first `count` items of an IDX file."""
    content = gzip.decompress((source / name).read_bytes())
    number = np.array([count], dtype=">u4").tobytes()
    shrunk = content[:4] + number + content[8:header] + content[header : header + count * item]
    (target / name).write_bytes(gzip.compress(shrunk))


@pytest.fixture(scope="session")
def project(few_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose stack is up; it goes down at the end."""
    root = tmp_path_factory.mktemp("e2e") / "project"
    root.mkdir()
    copy = copy_project(root, few_images)
    try:
        copy.evergreen("up", "--worker")
        yield copy
    finally:
        output = copy.evergreen("down")
        assert not [command for command in commands() if str(copy.home) in command], output


def commands() -> Iterator[str]:
    """Yield the command line of every process."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):  # ended while we look
            yield " ".join(process.cmdline())
