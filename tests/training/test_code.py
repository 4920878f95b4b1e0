"""The code of a step: all of ours that a module imports, and nothing else."""

import shutil
from pathlib import Path

import grimp
import pytest

from tasks.training.code import code_sha256, import_closure
from tests.conftest import ROOT

FILES = {
    "tasks/__init__.py": "",
    "tasks/a.py": "import os\nfrom tasks import b\nfrom tasks.c import thing\n",
    "tasks/b.py": "def later():\n    import serving.d\n    return serving.d\n",
    "tasks/c/__init__.py": "from .inner import thing\n",
    "tasks/c/inner.py": "from .. import e\nthing = e\n",
    "tasks/e.py": "import numpy\nimport tasks.a\n",
    "tasks/unused.py": "import tasks.a\n",
    "serving/__init__.py": "",
    "serving/d.py": "",
    "tests/__init__.py": "",
}
USED = {"tasks", "tasks.a", "tasks.b", "tasks.c", "tasks.c.inner", "tasks.e", "serving", "serving.d"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with a circle, a relative import, one inside a function, and a module that nobody needs."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_everything_that_may_be_imported_is_found(tree):
    closure = import_closure("tasks.a", root=tree)
    assert set(closure) == USED
    assert closure["tasks.c"] == tree / "tasks/c/__init__.py"


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("tasks/unused.py", "tests/__init__.py")])
def test_a_change_of_what_is_used_changes_it(tree, name):
    before = code_sha256("tasks.a", root=tree)
    (tree / name).write_text(FILES[name] + "# other\n")
    assert code_sha256("tasks.a", root=tree) != before


def test_a_change_of_what_is_not_used_does_not(tree):
    before = code_sha256("tasks.a", root=tree)
    (tree / "tasks/unused.py").write_text("x = 1\n")
    (tree / "tests/__init__.py").write_text("x = 1\n")
    (tree / "tasks/new.py").write_text("x = 1\n")
    assert code_sha256("tasks.a", root=tree) == before


def test_the_folder_does_not_count_and_a_move_of_text_does(tree, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy") / "tree"
    shutil.copytree(tree, copy)
    assert code_sha256("tasks.a", root=copy) == code_sha256("tasks.a", root=tree)
    text = (copy / "tasks/e.py").read_text()
    (copy / "tasks/e.py").write_text("")
    (copy / "tasks/c/inner.py").write_text(text + FILES["tasks/c/inner.py"])
    assert code_sha256("tasks.a", root=copy) != code_sha256("tasks.a", root=tree)


def test_an_unknown_module_is_an_error(tree):
    with pytest.raises(ValueError, match=r"has no module tasks.z, torch$"):
        code_sha256("tasks.a", "tasks.z", "torch", root=tree)


@pytest.mark.parametrize("module", ["tasks.training.__main__", "tasks.evaluation.finish"])
def test_it_finds_what_the_import_graph_has(module):
    graph = grimp.build_graph("flows", "serving", "tasks", cache_dir=None)
    wanted = {module, *graph.find_upstream_modules(module)}
    assert len(wanted) > 10
    assert wanted <= set(import_closure(module, root=ROOT))  # which has what packages import, too


def test_it_finds_no_more_than_there_is():
    assert set(import_closure("tasks.settings_training")) == {
        "tasks", "tasks.settings_keys", "tasks.settings_training"
    }  # fmt: skip
