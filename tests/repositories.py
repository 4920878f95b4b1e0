"""Small git repositories, for every test that needs a commit."""

import subprocess
from pathlib import Path

IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")


def commit_all(root: Path, message: str = "a commit") -> str:
    """Make `root` a repository unless it is one, commit all its files, and return the commit."""
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, *IDENTITY, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(root, "rev-parse", "HEAD").strip()


def git(root: Path, *arguments: str) -> str:
    """Run git in `root` and return what it printed."""
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout
