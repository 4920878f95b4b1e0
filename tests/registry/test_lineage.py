import hashlib
import json
import subprocess

import pytest

from tasks.errors import ConfigError
from tasks.registry.lineage import read_lineage


@pytest.fixture
def project(tmp_path):
    (tmp_path / "cpu.lock").write_text("torch==2.13.0\n")
    (tmp_path / "code.py").write_text("a = 1\n")
    return tmp_path


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def lineage_of(project):
    return read_lineage(
        project,
        lock=project / "cpu.lock",
        settings_json='{"seed": 1}',
        hardware={"device": "cpu"},
        versions={"torch": "2.13.0"},
    )


def test_a_clean_tree_has_a_commit_and_no_diff(project):
    git(project, "init", "-q")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "first")
    lineage = lineage_of(project)
    assert lineage.commit == git(project, "rev-parse", "HEAD")
    assert lineage.diff == ""
    assert lineage.tags["evergreen.git_dirty"] == "false"
    assert set(lineage.texts) == {"settings.json", "lineage.json"}
    assert lineage.lock_sha256 == hashlib.sha256(b"torch==2.13.0\n").hexdigest()
    assert json.loads(lineage.texts["lineage.json"])["hardware"] == {"device": "cpu"}


def test_changes_and_unknown_files_are_told(project):
    git(project, "init", "-q")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "first")
    (project / "code.py").write_text("a = 2\n")
    (project / "new.py").write_text("b = 1\n")
    lineage = lineage_of(project)
    assert "-a = 1\n+a = 2\n" in lineage.diff
    assert "# untracked: new.py\n" in lineage.diff
    assert lineage.texts["working-tree.diff"] == lineage.diff
    assert lineage.tags["evergreen.git_dirty"] == "true"


@pytest.mark.parametrize("is_repository", [True, False], ids=["no commit yet", "no git"])
def test_without_a_commit_it_says_so(project, is_repository, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    if is_repository:
        git(project, "init", "-q")
    lineage = lineage_of(project)
    assert (lineage.commit, lineage.diff) == ("none", "")


def test_a_missing_lock_is_an_error(project):
    (project / "cpu.lock").unlink()
    with pytest.raises(ConfigError, match=r"cpu.lock cannot be read.*restore it from git"):
        lineage_of(project)
