"""The shape of the tree: one idea a file, tests where one looks for them, no error swallowed."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDERS = ("flows", "tasks", "serving", "tests", "benchmarks")
MAX_LINES = 300
# tests/data is for tasks/data
MIRRORED = ("data", "training", "steps", "evaluation", "registry", "reproduction", "rollout", "stack")


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_a_file_holds_one_idea():
    lines = {short(path): len(path.read_text().splitlines()) for path in files(*FOLDERS)}
    assert len(lines) > 150
    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}
    assert [path for path in lines if Path(path).stem in {"utils", "helpers", "misc", "common"}] == []


def is_swallowed(handler: ast.ExceptHandler) -> bool:
    names = (
        {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else {"Exception"}
    )
    does_nothing = all(
        isinstance(node, ast.Pass | ast.Continue)
        or (isinstance(node, ast.Return) and (node.value is None or isinstance(node.value, ast.Constant)))
        for node in handler.body
    )
    return bool(names & {"Exception", "BaseException"}) and does_nothing


def test_no_error_is_swallowed():
    handlers = [
        (short(path), node)
        for path in files("flows", "tasks", "serving")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
    ]
    assert len(handlers) > 50
    assert [f"{path}:{node.lineno}" for path, node in handlers if is_swallowed(node)] == []


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ("except Exception:\n    pass", True),
        ("except:\n    pass", True),
        ("except (OSError, Exception):\n    return None", True),
        ("except OSError:\n    pass", False),
        ("except Exception:\n    raise", False),
    ],
)
def test_swallowing_is_recognised(clause, expected):
    code = "def f():\n try:\n  g()\n " + clause.replace("\n", "\n ")
    (handler,) = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ExceptHandler)]
    assert is_swallowed(handler) is expected


def test_tests_mirror_the_tree():
    """A folder of tests stands for a package of the same place."""
    folders = {path.parent.relative_to(ROOT / "tests") for path in files("tests") if path.name.startswith("test_")}
    apart = {"architecture", "container", "docs", "e2e", "data_checks", "benchmarks"}
    for folder in folders:
        top = folder.parts[0] if folder.parts else ""
        if top in apart:
            continue
        home = ROOT / "tasks" / folder if top in {*MIRRORED, ""} else ROOT / folder
        assert (home / "__init__.py").is_file(), f"tests/{folder} mirrors no package: expected {home.relative_to(ROOT)}"


def test_every_folder_of_tests_is_a_package():
    assert [short(path) for path in files("tests") if not (path.parent / "__init__.py").is_file()] == []
