"""What an image holds, listed from inside by its own Python as JSON; runs in the image and imports nothing of ours."""

import importlib.metadata
import json
import os
import shutil
from pathlib import Path

BUILDERS = (
    "cc",
    "gcc",
    "g++",
    "clang",
    "ld",
    "as",
    "make",
    "cmake",
    "nvcc",
    "ptxas",
    "pip",
    "pip3",
    "uv",
    "git",
    "dvc",
)
_FOREIGN = ("/proc", "/sys", "/dev")


def list_holdings() -> dict:
    """Return the image's packages, programs that build or install, folders that a server has no use for, and sizes."""
    return {
        "packages": sorted(each.name.lower() for each in importlib.metadata.distributions()),
        "programs": [name for name in BUILDERS if shutil.which(name)],
        "folders": sorted(_odd_folders()),
        "bytes": {path.name: _size(path) for path in Path("/packages").iterdir()},
        "code_bytes": _size(Path("/app")),
    }


def _odd_folders() -> list[str]:
    """Return folders of tests, of caches, and of installers."""
    found = []
    for root, names, _ in os.walk("/"):
        if root == "/":
            names[:] = [name for name in names if f"/{name}" not in _FOREIGN]
        odd = [name for name in names if name in ("pip", "ensurepip", ".cache", "mlflow", "prefect")]
        if root.startswith("/packages") and ".dist-info" not in root:
            odd += [name for name in names if name in ("test", "tests", "include")]
        found += [f"{root}/{name}" for name in odd]
    return found


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.lstat().st_size for file in files)


if __name__ == "__main__":
    print(json.dumps(list_holdings()))
