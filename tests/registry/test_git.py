"""What a working tree has beyond its commit, in a small real repository."""

import subprocess
from pathlib import Path

import pytest

from tasks.registry import git as git_module
from tasks.registry.git import GitError, git, read_commit, read_working_tree
from tests.repositories import commit_all


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    """A repository with one commit, below a folder that is none."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    root = tmp_path / "clone"
    (root / "code").mkdir(parents=True)
    (root / "code/a.py").write_text("a = 1\n")
    (root / "code/gone.py").write_text("g = 1\n")
    (root / "logo.png").write_bytes(bytes(range(256)))
    (root / ".gitignore").write_text("ignored/\n")
    commit_all(root)
    return root


def change(root: Path) -> None:
    """Change a file, delete one, and add files that git does not know: a text, one with odd bytes, one ignored."""
    (root / "code/a.py").write_bytes(b"a = 2  # caf\xe9\r\n")
    (root / "code/gone.py").unlink()
    (root / "logo.png").write_bytes(bytes(range(255, -1, -1)))
    (root / "new file é.py").write_text("n = 1\n")
    (root / "new.sh").write_text("#!/bin/sh\n")
    (root / "new.sh").chmod(0o755)
    (root / "link").symlink_to("new.sh")
    (root / "ignored").mkdir()
    (root / "ignored/secret").write_text("s\n")


def test_a_clean_tree_has_no_patch(clone):
    tree = read_working_tree(clone)
    assert tree.is_clean
    assert tree == git_module.WorkingTree()


@pytest.mark.parametrize(
    "setting", ["diff.noprefix=true", "color.ui=always", "diff.external=false", "core.pager=false"]
)
def test_a_patch_makes_the_commit_what_the_tree_was(clone, tmp_path, monkeypatch, setting):
    name, value = setting.split("=")
    git(clone, "config", name, value)
    change(clone)
    (clone / "staged.py").write_text("s = 1\n")
    git(clone, "add", "staged.py")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as inside a hook of git's, for another repository
    tree = read_working_tree(clone / "code")
    assert not tree.is_clean
    assert tree.unkept == ()
    other = tmp_path / "other"
    git(clone, "worktree", "add", "--quiet", "--detach", str(other), "HEAD")
    git(other, "apply", "--whitespace=nowarn", "-", stdin=tree.patch)
    assert contents(other) == {name: value for name, value in contents(clone).items() if "ignored/" not in name}
    assert (other / "link").readlink() == Path("new.sh")


def contents(root: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode & 0o111 != 0)
        for path in root.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


def test_index_and_objects_of_the_user_stay_as_they_are(clone):
    change(clone)
    before = dict(all_files(clone / ".git"))
    assert read_working_tree(clone).patch
    assert dict(all_files(clone / ".git")) == before


def all_files(folder: Path):
    return ((path, path.read_bytes()) for path in folder.rglob("*") if path.is_file())


def test_changes_that_are_too_large_are_named(clone, monkeypatch):
    monkeypatch.setattr(git_module, "LARGEST_CHANGES_BYTES", 3_000_000)
    (clone / "data.bin").write_bytes(bytes(4_000_000))
    (clone / "small.bin").write_bytes(b"small")
    tree = read_working_tree(clone)
    assert (tree.patch, tree.unkept) == (b"", ("data.bin: 4.0 MB", "small.bin: 0.0 MB"))
    assert not tree.is_clean


def test_a_repository_within_is_named(clone):
    inner = clone / "inner"
    inner.mkdir()
    (inner / "x.py").write_text("x = 1\n")
    commit_all(inner)
    assert read_working_tree(clone).unkept == ("inner: a repository of its own",)


def test_what_git_cannot_read_is_no_error_of_the_run(clone):
    (clone / ".git/index").write_text("damaged")
    (unkept,) = read_working_tree(clone).unkept
    assert "failed" in unkept


def test_a_commit_or_none(clone, tmp_path):
    assert read_commit(clone / "code") == git(clone, "rev-parse", "HEAD").decode().strip()
    assert read_commit(tmp_path) is None
    subprocess.run(["git", "init", "--quiet", tmp_path / "empty"], check=True)
    assert read_commit(tmp_path / "empty") is None


def test_an_error_has_what_git_said(clone):
    with pytest.raises(GitError, match=r"git rev-parse --verify in .* failed: fatal: Needed a single revision"):
        git(clone, "rev-parse", "--verify", "gone")
