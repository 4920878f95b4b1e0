import hashlib
import json
import subprocess

import pytest

from tasks.errors import ConfigError
from tasks.registry.lineage import parse_sums, read_lineage
from tests.repositories import commit_all

INPUTS = {"data": "d1", "seed": "1", "weights_file": "f00d"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "cpu.lock").write_text("torch==2.13.0\n")
    (tmp_path / "code.py").write_text("a = 1\n")
    return tmp_path


def lineage_of(project):
    return read_lineage(
        project,
        lock=project / "cpu.lock",
        settings_json='{"seed": 1}',
        spec_json='{"recipe": {}}',
        inputs=INPUTS,
        data_remote="s3://bucket",
        hardware={"device": "cpu"},
        versions={"torch": "2.13.0"},
    )


def test_a_clean_tree_has_a_commit_and_no_patch(project):
    head = commit_all(project)
    lineage = lineage_of(project)
    assert lineage.commit == head
    assert lineage.tags["evergreen.git_dirty"] == "false"
    assert lineage.tags["evergreen.lock_sha256"] == hashlib.sha256(b"torch==2.13.0\n").hexdigest()
    assert set(lineage.files) == {
        "spec.json", "settings.json", "inputs.json", "lineage.json", "cpu.lock", "SHA256SUMS"
    }  # fmt: skip
    assert json.loads(lineage.files["lineage.json"]) == {
        "commit": head,
        "unkept_changes": [],
        "lock": "cpu.lock",
        "lock_sha256": lineage.tags["evergreen.lock_sha256"],
        "data_remote": "s3://bucket",
        "weights_file_sha256": "f00d",
        "hardware": {"device": "cpu"},
        "versions": {"torch": "2.13.0"},
    }
    assert json.loads(lineage.files["inputs.json"]) == INPUTS


def test_changes_and_unknown_files_are_kept(project):
    commit_all(project)
    (project / "code.py").write_text("a = 2\n")
    (project / "new.py").write_text("b = 1\n")
    lineage = lineage_of(project)
    assert b"-a = 1\n+a = 2\n" in lineage.files["working-tree.patch"]
    assert b"+b = 1\n" in lineage.files["working-tree.patch"]
    assert lineage.tags["evergreen.git_dirty"] == "true"


def test_the_sums_are_those_that_sha256sum_checks(project, tmp_path):
    commit_all(project)
    lineage = lineage_of(project)
    folder = tmp_path / "downloaded"
    folder.mkdir()
    for name, content in lineage.files.items():
        (folder / name).write_bytes(content)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    assert set(parse_sums(lineage.files["SHA256SUMS"])) == set(lineage.files) - {"SHA256SUMS"}
    assert lineage.tags["evergreen.lineage_sha256"] == hashlib.sha256(lineage.files["SHA256SUMS"]).hexdigest()


def test_a_damaged_sums_file_names_what_it_can():
    assert parse_sums(b"abc  a.json\nnonsense\n\xff\n") == {"a.json": "abc"}


@pytest.mark.parametrize("is_repository", [True, False], ids=["no commit yet", "no git"])
def test_without_a_commit_it_says_so(project, is_repository):
    if is_repository:
        subprocess.run(["git", "init", "--quiet", project], check=True)
    lineage = lineage_of(project)
    assert lineage.commit == "none"
    assert "working-tree.patch" not in lineage.files


def test_a_missing_lock_is_an_error(project):
    (project / "cpu.lock").unlink()
    with pytest.raises(ConfigError, match=r"cpu.lock cannot be read.*restore it from git"):
        lineage_of(project)
