"""The code of a version: its commit and its uncommitted changes, in a temporary folder beside the user's own.

The folder is removed in the end; what a killed process left is removed by the next.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from tasks.errors import ConfigError
from tasks.registry.git import GitError, git
from tasks.steps.lock import locked, locked_if_free

FOLDER = "reproductions"  # in EVERGREEN_HOME
TREE = "code"
_LOCK = ".lock"


@contextlib.contextmanager
def workplace(home: Path) -> Iterator[Path]:
    """Yield a new folder for one reproduction, held as long as the block runs and then removed."""
    parent = home / FOLDER
    sweep(parent)
    folder = parent / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    lock = parent / f"{folder.name}{_LOCK}"
    with locked(lock, lambda _: None):  # the name is new: nobody is waited for
        folder.mkdir()
        try:
            yield folder
        finally:
            remove(folder)
            lock.unlink()


def sweep(parent: Path) -> None:
    """Remove the folders of processes that are gone: the kernel freed their locks."""
    for lock in parent.glob(f"*{_LOCK}"):
        with locked_if_free(lock) as is_free:
            if is_free:
                remove(lock.with_suffix(""))
                lock.unlink()


def remove(folder: Path) -> None:
    """Remove a reproduction's folder, and what the repository knows of the worktree in it."""
    if (folder / TREE).exists():
        remove_tree(folder / TREE)
    shutil.rmtree(folder, ignore_errors=True)


def remove_tree(tree: Path) -> None:
    """Remove a worktree and what its repository knows of it."""
    with contextlib.suppress(GitError):  # half made, or its repository is gone: the folder goes all the same
        common = git(tree, "rev-parse", "--path-format=absolute", "--git-common-dir").decode().rstrip("\n")
        git(tree.parent, f"--git-dir={common}", "worktree", "remove", "--force", "--force", str(tree))
    shutil.rmtree(tree, ignore_errors=True)


@contextlib.contextmanager
def check_out(clone: Path, commit: str, patch: bytes, folder: Path) -> Iterator[Path]:
    """Yield the folder that stands for `clone` in a checkout of `commit` with `patch`, made below `folder`.

    Raises:
        ConfigError: the repository does not have the commit.
        GitError: the patch does not fit it, or git cannot make the checkout.
    """
    prefix = git(clone, "rev-parse", "--show-prefix").decode().rstrip("\n")
    try:
        git(clone, "cat-file", "-e", f"{commit}^{{commit}}")
    except GitError as error:
        raise ConfigError(
            f"{clone} does not have commit {commit[:12]}, which the version was made from: `git fetch` it; if it was "
            "never pushed, push it from the clone that made the version"
        ) from error
    tree = folder / TREE
    git(clone, "worktree", "add", "--quiet", "--detach", str(tree), commit)
    try:
        if patch:
            git(tree, "apply", "--whitespace=nowarn", "-", stdin=patch)
        yield tree / prefix
    finally:
        remove_tree(tree)
