"""The code that a step runs: a module and all of ours that it imports, found in the source without running it."""

import ast
import functools
import hashlib
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PACKAGES = ("flows", "serving", "tasks")


def code_sha256(*modules: str, root: Path = PROJECT) -> str:
    """Return the SHA-256 over the names and texts of these modules and of all of ours that they import.

    Raises:
        ValueError: `root` has no such module.
    """
    digest = hashlib.sha256()
    for name, path in sorted(import_closure(*modules, root=root).items()):
        text = path.read_bytes()
        digest.update(f"{name} {len(text)}\n".encode())
        digest.update(text)
    return digest.hexdigest()


def import_closure(*modules: str, root: Path = PROJECT) -> dict[str, Path]:
    """Return these modules, their packages, and what they import of ours, also inside functions: name -> file.

    What is imported by a name that only the running program knows is not seen.

    Raises:
        ValueError: `root` has no such module.
    """
    if missing := [name for name in modules if module_file(name, root) is None]:
        raise ValueError(f"{root} has no module {', '.join(missing)}")
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = module_file(name, root)
        if path is None or name in found:  # not ours, or a name within a module
            continue
        found[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [name.rpartition(".")[0], *imported_names(path.read_bytes(), package)]
    return found


def module_file(name: str, root: Path) -> Path | None:
    """Return the file of a module of ours; None for any other name."""
    if name.split(".", maxsplit=1)[0] not in PACKAGES:
        return None
    stem = root.joinpath(*name.split("."))
    return next((path for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py") if path.is_file()), None)


@functools.cache  # a plan asks for several keys, of much the same files
def imported_names(text: bytes, package: str) -> tuple[str, ...]:
    """Return every name that a module in `package` may import: modules, and what could be one within them."""
    names: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *filter(None, [node.module])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(names)
