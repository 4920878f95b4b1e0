"""What a run came from: the code, the lock, the settings, the hardware and the versions; enough to make it again."""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import ConfigError

_LONGEST_DIFF_BYTES = 5_000_000  # a larger one is data that should not be in git; its head tells enough


@dataclass(frozen=True)
class Lineage:
    """The origin of a run; `diff` is what the working tree had beyond `commit` ("" when it was clean).

    `commit` is "none" outside git, or before the first commit.
    """

    commit: str
    diff: str
    lock_sha256: str
    settings_json: str
    hardware: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def tags(self) -> dict[str, str]:
        """The short facts, as tags of a run."""
        return {
            "evergreen.git_commit": self.commit,
            "evergreen.git_dirty": str(bool(self.diff)).lower(),
            "evergreen.lock_sha256": self.lock_sha256,
            **{f"evergreen.hardware.{name}": value for name, value in self.hardware.items()},
            **{f"evergreen.version.{name}": value for name, value in self.versions.items()},
        }

    @property
    def texts(self) -> dict[str, str]:
        """The long facts, as text files of a run: file name -> content."""
        facts = {"commit": self.commit, "lock_sha256": self.lock_sha256}
        about = {**facts, "hardware": dict(self.hardware), "versions": dict(self.versions)}
        texts = {
            "settings.json": self.settings_json,
            "lineage.json": json.dumps(about, indent=2, sort_keys=True) + "\n",
        }
        return {**texts, "working-tree.diff": self.diff} if self.diff else texts


def read_lineage(
    root: Path, *, lock: Path, settings_json: str, hardware: Mapping[str, str], versions: Mapping[str, str]
) -> Lineage:
    """Return the lineage of a run of the project at `root` with the dependency lock `lock`.

    Raises:
        ConfigError: the lock cannot be read.
    """
    try:
        lock_sha256 = hashlib.sha256(lock.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"the dependency lock {lock} cannot be read: {error}; restore it from git") from error
    commit = git(root, "rev-parse", "--verify", "HEAD")
    return Lineage(
        commit=commit.strip() if commit else "none",
        diff=working_diff(root) if commit else "",
        lock_sha256=lock_sha256,
        settings_json=settings_json,
        hardware=hardware,
        versions=versions,
    )


def working_diff(root: Path) -> str:
    """Return the changes since the last commit as a patch, and the names of files that git does not know."""
    changed = git(root, "diff", "HEAD") or ""
    if len(changed) > _LONGEST_DIFF_BYTES:
        changed = f"{changed[:_LONGEST_DIFF_BYTES]}\n# cut here: the diff has {len(changed)} characters\n"
    unknown = (git(root, "ls-files", "--others", "--exclude-standard") or "").splitlines()
    return changed + "".join(f"# untracked: {name}\n" for name in unknown)


def git(root: Path, *arguments: str) -> str | None:
    """Return what git says, or None where it has nothing to say: no git, no repository, no commit."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")
