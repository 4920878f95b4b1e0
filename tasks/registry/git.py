"""git, as far as a run's origin needs it: asked in words that no setting of the user changes, and never altered."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import ConfigError

TIMEOUT_S = 120  # of one command; a checkout of a large clone takes tens of seconds
LARGEST_CHANGES_BYTES = 20_000_000  # of all changed and unknown files: more is data that does not belong into git
# What a user may have set, and what would change the form of a patch or run code of the user's.
PLAIN = ("core.hooksPath=/dev/null", "core.autocrlf=false", "core.fsmonitor=false", "core.quotePath=true",
         "diff.noprefix=false", "diff.mnemonicPrefix=false", "color.ui=never")  # fmt: skip
DIFF = ("--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "--full-index", "--binary")
# Set inside a hook of git's, for the repository that the hook is for.
FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX",
           "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE")  # fmt: skip
NESTED = re.compile(rb"^:\d+ 160000 |^:160000 ")  # in `git diff --raw`: a repository within this one
_NAMED = 5  # of the files that were too large


class GitError(ConfigError):
    """git could not do it: the message has what it said."""


@dataclass(frozen=True)
class WorkingTree:
    """What a working tree has beyond its commit: a binary patch (b"" when it is clean), or why there is none."""

    patch: bytes = b""
    unkept: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether the files are those of the commit."""
        return not self.patch and not self.unkept


def git(root: Path, *arguments: str, variables: Mapping[str, str] | None = None, stdin: bytes = b"") -> bytes:
    """Return what git says in the folder `root`.

    Raises:
        GitError: git is missing, took too long, or refused.
    """
    settings = [word for setting in PLAIN for word in ("-c", setting)]
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN} | dict(variables or {})
    what = f"git {' '.join(arguments[:2])} in {root}"
    try:
        done = subprocess.run(
            ["git", *settings, "-C", str(root), *arguments],
            env={**environment, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"},
            input=stdin,
            capture_output=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"{what} failed: {error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise GitError(f"{what} failed: {said or f'exit code {done.returncode}'}")
    return done.stdout


def read_commit(root: Path) -> str | None:
    """Return the commit that is checked out at `root`, None outside git and before the first commit."""
    try:
        return git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode().strip()
    except GitError:
        return None


def read_working_tree(root: Path) -> WorkingTree:
    """Return what the working tree at `root` has beyond its commit, files that git does not know but ignores not, too.

    The user's index and objects stay as they are: both are borrowed.
    """
    try:
        top = Path(git(root, "rev-parse", "--show-toplevel").decode().rstrip("\n"))
        if large := find_large(top, changed_files(top)):
            return WorkingTree(unkept=tuple(large))
        with borrowed_index(top) as variables:
            git(top, "add", "--all", variables=variables)
            changes = git(top, "diff", "--cached", "--raw", "-z", "--no-renames", "HEAD", variables=variables)
            if nested := [f"{name}: a repository of its own" for name in nested_repositories(changes)]:
                return WorkingTree(unkept=tuple(nested))
            return WorkingTree(git(top, "diff", "--cached", *DIFF, "HEAD", variables=variables))
    except (GitError, OSError) as error:
        return WorkingTree(unkept=(str(error),))


def changed_files(top: Path) -> list[str]:
    """Return the names of changed, deleted and unknown files."""
    changed = git(top, "diff", "--name-only", "-z", "--no-renames", "HEAD")
    unknown = git(top, "ls-files", "--others", "--exclude-standard", "-z")
    return [os.fsdecode(name) for name in (changed + unknown).split(b"\0") if name]


def find_large(top: Path, names: Iterable[str]) -> list[str]:
    """Return the largest of the files with their sizes, where all together are too large to keep; else nothing."""
    sizes = {name: (top / name).lstat().st_size for name in names if (top / name).is_file()}
    if sum(sizes.values()) <= LARGEST_CHANGES_BYTES:
        return []
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:_NAMED]
    return [f"{name}: {sizes[name] / 1e6:.1f} MB" for name in largest]


@contextmanager
def borrowed_index(top: Path) -> Iterator[dict[str, str]]:
    """Yield the variables with which git writes into a copy of the index, and new objects into a temporary folder."""
    index, objects = (
        top / git(top, "rev-parse", "--git-path", name).decode().rstrip("\n") for name in ("index", "objects")
    )
    with tempfile.TemporaryDirectory(prefix="evergreen-index-") as folder:
        if index.is_file():
            shutil.copy2(index, Path(folder, "index"))
        own = Path(folder, "objects")
        own.mkdir()
        yield {
            "GIT_INDEX_FILE": str(Path(folder, "index")),
            "GIT_OBJECT_DIRECTORY": str(own),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(objects),
        }


def nested_repositories(raw: bytes) -> list[str]:
    """Return the paths in the output of `git diff --raw -z` that are repositories: no patch holds their files."""
    fields = raw.split(b"\0")
    return [os.fsdecode(name) for about, name in zip(fields[::2], fields[1::2], strict=False) if NESTED.match(about)]
