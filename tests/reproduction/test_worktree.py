"""A commit with its uncommitted changes in a folder of its own, in a small real repository."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.errors import ConfigError
from tasks.registry.git import GitError, read_working_tree
from tasks.reproduction.worktree import check_out, workplace
from tests.conftest import ROOT
from tests.repositories import commit_all, git


@pytest.fixture
def clone(tmp_path) -> Path:
    root = tmp_path / "clone"
    (root / "part").mkdir(parents=True)
    (root / "part/a.py").write_text("a = 1\n")
    (root / "gone.py").write_text("g = 1\n")
    commit_all(root)
    return root


def worktrees(clone: Path) -> list[str]:
    return [line for line in git(clone, "worktree", "list", "--porcelain").splitlines() if line.startswith("worktree")]


def test_the_code_is_there_as_it_was_and_gone_afterwards(clone, tmp_path):
    commit = git(clone, "rev-parse", "HEAD").strip()
    (clone / "part/a.py").write_text("a = 2\n")
    (clone / "gone.py").unlink()
    (clone / "new.bin").write_bytes(bytes(range(256)))
    patch = read_working_tree(clone).patch
    git(clone, "checkout", "--quiet", ".")
    (clone / "new.bin").unlink()
    (clone / "part/a.py").write_text("a = 3\n")
    commit_all(clone, "later")
    home = tmp_path / "home"
    with workplace(home) as folder, check_out(clone / "part", commit, patch, folder) as code:
        assert (code / "a.py").read_text() == "a = 2\n"
        assert not (code.parent / "gone.py").exists()
        assert (code.parent / "new.bin").read_bytes() == bytes(range(256))
        assert len(worktrees(clone)) == 2
        assert (clone / "part/a.py").read_text() == "a = 3\n"
    assert worktrees(clone) == [f"worktree {clone}"]
    assert list((home / "reproductions").iterdir()) == []
    assert git(clone, "status", "--porcelain") == ""


def test_hooks_of_the_user_do_not_run(clone, tmp_path):
    hook = clone / ".git/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    hook.chmod(0o755)
    with workplace(tmp_path / "home") as folder, check_out(clone, "HEAD", b"", folder):
        assert not (tmp_path / "ran").exists()


def test_an_error_inside_leaves_nothing(clone, tmp_path):
    def fail() -> None:
        with workplace(tmp_path / "home") as folder, check_out(clone, "HEAD", b"", folder):
            raise KeyError("inside")

    with pytest.raises(KeyError):
        fail()
    assert worktrees(clone) == [f"worktree {clone}"]


def test_a_missing_commit_says_how_to_get_it(clone, tmp_path):
    with (
        pytest.raises(ConfigError, match=r"does not have commit 0123456789ab.*: `git fetch` it; .* push it"),
        workplace(tmp_path / "home") as folder,
        check_out(clone, "0123456789ab" + "0" * 28, b"", folder),
    ):
        pass


def test_a_patch_that_does_not_fit_is_an_error(clone, tmp_path):
    with (
        pytest.raises(GitError, match="git apply"),
        workplace(tmp_path / "home") as folder,
        check_out(clone, "HEAD", b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\n", folder),
    ):
        pass
    assert worktrees(clone) == [f"worktree {clone}"]


def test_what_a_killed_process_left_is_swept_by_the_next_and_what_is_in_use_is_not(clone, tmp_path):
    home = tmp_path / "home"
    script = f"""
import os, signal, sys
from pathlib import Path
from tasks.reproduction.worktree import check_out, workplace
with workplace(Path({str(home)!r})) as folder, check_out(Path({str(clone)!r}), "HEAD", b"", folder):
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    with workplace(home) as used, check_out(clone, "HEAD", b"", used):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        left = Path(done.stdout.strip())
        assert (left / "code/part/a.py").is_file()
        assert len(worktrees(clone)) == 3
        with workplace(home):
            assert not left.exists()
            assert (used / "code/part/a.py").is_file()
            assert len(worktrees(clone)) == 2
    assert worktrees(clone) == [f"worktree {clone}"]
