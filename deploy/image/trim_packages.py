"""Take out of a folder of installed packages what no server opens, and compile to byte code what it imports.

Run once, while the image is built: `python3 trim_packages.py FOLDER`. Sources stay, for TorchScript and tracebacks.
"""

import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from strip_symbols import strip_symbols

UNUSED: Mapping[str, tuple[str, ...]] = {
    "headers, build files": ("torch/include", "torch/share", "numpy/*/include", "numpy/**/*.a", "**/*.pxd"),
    "test programs": (
        *("torch/bin/*", "torch/lib/libtorchbind_test.so", "torch/lib/libjitbackend_test.so"),
        *("torch/lib/libbackend_with_compiler.so", "torch/lib/libaoti_custom_ops.so"),
    ),
    "test suites": ("**/tests", "**/test", "torch/testing/_internal/*"),
    "type stubs": ("**/*.pyi",),
    "commands": ("bin",),
}
KEPT = frozenset(  # torch does not start without
    {"torch/bin/torch_shm_manager"}
    | {f"torch/testing/_internal/{name}.py" for name in ("__init__", "common_dtype", "logging_tensor")}
)

_PROGRAM = """
import sys, torch, numpy, starlette.applications, uvicorn, PIL.Image, PIL.JpegImagePlugin, PIL.PngImagePlugin
print(*(getattr(module, "__file__", "") for module in sys.modules.values()), sep="\\n")
"""
_READ, _ENTER = 0o444, 0o555


def main() -> None:
    """Trim and compile the folder that the command line names, and print what was gained."""
    folder = Path(sys.argv[1]).resolve()
    for kind, patterns in UNUSED.items():
        _tell(kind, sum(remove(path) for path in find(folder, patterns)))
    _tell("symbols for debuggers", sum(strip_symbols(path) for path in find_libraries(folder)))
    print(f"{compile_imported(folder)} modules compiled, {make_readable(folder)} files made readable")


def find(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    """Yield what matches a pattern and is not to be kept."""
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if path.exists() and path.relative_to(folder).as_posix() not in KEPT:
                yield path


def find_libraries(folder: Path) -> Iterator[Path]:
    """Yield shared libraries; those of CUDA stay as NVIDIA made them."""
    for path in sorted(folder.rglob("*.so*")):
        if path.is_file() and not path.is_symlink() and path.relative_to(folder).parts[0] != "nvidia":
            yield path


def remove(path: Path) -> int:
    """Remove a file or folder and return its bytes."""
    if path.is_dir():
        size = sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())
        shutil.rmtree(path)
    else:
        size = path.lstat().st_size
        path.unlink()
    return size


def compile_imported(folder: Path) -> int:
    """Compile the modules in `folder` that a server imports, which each start would compile again; return how many."""
    command = [sys.executable, "-B", "-c", _PROGRAM]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    listed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    modules = [path for path in listed.splitlines() if path.startswith(f"{folder}{os.sep}") and path.endswith(".py")]
    for path in modules:
        py_compile.compile(path, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    return len(modules)


def make_readable(folder: Path) -> int:
    """Let every user read what there is; return how many files and folders were not. Others stay untouched: no copy."""
    count = 0
    for path in (folder, *folder.rglob("*")):
        mode, wanted = path.stat().st_mode, _ENTER if path.is_dir() else _READ
        if mode & wanted != wanted:
            path.chmod(mode | wanted)
            count += 1
    return count


def _tell(kind: str, gained: int) -> None:
    print(f"{kind:>24}: {gained / 1e6:6.1f} MB less")


if __name__ == "__main__":
    main()
