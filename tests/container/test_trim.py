"""What the image's packages lose while it is built, and what they keep; no engine needed."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.docs.pages import ROOT

SCRIPT = ROOT / "deploy/image/trim_packages.py"
REMOVED = (
    "torch/include/a.h",
    "torch/bin/protoc",
    "torch/test/a",
    "numpy/lib/tests/a.py",
    "numpy/a.pyi",
    "bin/uvicorn",
)
KEPT = ("torch/bin/torch_shm_manager", "torch/testing/_internal/common_dtype.py", "numpy/testing/a.py", "text.so")
LIBRARY = Path(importlib.util.find_spec("torch").origin).parent / "lib/libc10.so"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages after the script; what is not there is imported from further back on the path."""
    folder = tmp_path_factory.mktemp("packages")
    for name in (*REMOVED, *KEPT):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "text.so").chmod(0o600)
    for library in (folder / LIBRARY.name, folder / "nvidia" / LIBRARY.name):
        library.parent.mkdir(exist_ok=True)
        shutil.copy(LIBRARY, library)
    shutil.copytree(Path(click.__file__).parent, folder / "click", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, str(SCRIPT), str(folder)], check=True)
    return folder


def test_what_no_server_opens_is_gone(folder):
    assert not [name for name in REMOVED if (folder / name).exists()]
    assert [name for name in KEPT if (folder / name).read_text() == name] == list(KEPT)


def test_a_library_loads_without_its_symbols(folder):
    stripped = folder / LIBRARY.name
    assert stripped.stat().st_size < LIBRARY.stat().st_size
    assert (folder / "nvidia" / LIBRARY.name).read_bytes() == LIBRARY.read_bytes()
    script = "import ctypes, sys; ctypes.CDLL(sys.argv[1])._ZN3c1015GetCPUAllocatorEv()"
    assert subprocess.run([sys.executable, "-c", script, str(stripped)], check=False).returncode == 0


def test_what_a_server_imports_is_compiled(folder):
    (compiled,) = (folder / "click/__pycache__").glob("__init__.*.pyc")
    assert compiled.read_bytes()[4:8] == b"\1\0\0\0"  # never compared with its source: the times in an image vary


def test_all_users_can_read_it(folder):
    assert (folder / "text.so").stat().st_mode & 0o777 == 0o644
