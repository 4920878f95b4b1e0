import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tasks.data.dataset import DatasetVersion
from tasks.data.pinned import choose_version, version_file
from tasks.data.versioning import (
    compare_with_pinned,
    pin_dataset,
    read_pinned,
    restore_dataset,
    restore_version,
    version_dataset,
)
from tasks.errors import DataError
from tests.data.conftest import ASSETS, Project


def dvc(project: Project, *arguments: str) -> None:
    """Run plain DVC, with its state inside the project."""
    environment = {"PATH": "/usr/bin:/bin", "DVC_SITE_CACHE_DIR": str(project.root / ".dvc" / "tmp" / "site")}
    subprocess.run([sys.executable, "-m", "dvc", *arguments, "-q"], cwd=project.root, check=True, env=environment)


def version(project: Project, remote: str = "") -> DatasetVersion:
    return version_dataset(project.prepare(), root=project.root, remote=remote, home=project.home)


def git(project: Project, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=project.root, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def committed(project: Project) -> Project:
    """The project in a git repository, with everything but its own state committed."""
    (project.root / ".gitignore").write_text("/data/\n/.evergreen/\n")
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "start")
    return project


def test_a_version_dirties_no_tracked_file(committed: Project, capfd: pytest.CaptureFixture[str]):
    made = version(committed)
    assert git(committed, "status", "--porcelain") == ""
    assert capfd.readouterr() == ("", "")
    assert version_file(committed.home, made.dataset.digest).read_text() == made.dvc_text
    assert made.remote == str(committed.home / "dvc-remote")


def test_the_md5_is_that_of_dvc_add(committed: Project):
    made = version(committed)
    dvc(committed, "add", "data")
    by_dvc = yaml.safe_load((committed.root / "data.dvc").read_text())
    ours = yaml.safe_load(made.dvc_text)
    assert ours["outs"] == by_dvc["outs"]
    assert made.dvc_md5 == by_dvc["outs"][0]["md5"]


def test_a_pin_is_what_dvc_restores(committed: Project):
    path = pin_dataset(version(committed))
    assert path == committed.root / "data.dvc"
    assert git(committed, "status", "--porcelain") == "?? data.dvc\n"
    shards = {file.name: file.read_bytes() for file in committed.data.iterdir()}
    shutil.rmtree(committed.data)
    dvc(committed, "checkout")
    assert {file.name: file.read_bytes() for file in committed.data.iterdir()} == shards


def test_a_version_comes_back_from_the_remote_alone(project: Project, tmp_path: Path):
    made = version(project, remote=str(tmp_path / "remote"))
    clone = tmp_path / "clone"
    shutil.copytree(project.root / ".dvc", clone / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    shutil.rmtree(project.root)
    restored = restore_dataset(
        made.dvc_text, folder=clone / "data", root=clone, remote=str(tmp_path / "remote"), home=clone / ".evergreen"
    )
    assert restored.digest == made.dataset.digest
    assert restored.counts == made.dataset.counts
    assert sorted(file.name for file in (clone / "data").iterdir()) == sorted((*restored.shards, "manifest.json"))
    assert sorted(file.name for file in clone.iterdir()) == [".dvc", ".evergreen", "data"]


def test_an_older_version_replaces_what_is_there(project: Project):
    first = version(project)
    shutil.copytree(ASSETS / "shirt", project.images / "shirt")
    second = version(project)
    assert second.dvc_md5 != first.dvc_md5
    restored = restore_dataset(first.dvc_text, folder=project.data, root=project.root, remote="", home=project.home)
    assert restored.digest == first.dataset.digest
    assert set(project.shard_times()) == set(first.dataset.shards)


def restore(project: Project, digest: str | None) -> str:
    return restore_version(digest, settings=project.settings, root=project.root, home=project.home).digest


def test_versions_come_back_by_their_digest(project: Project):
    first = version(project).dataset.digest
    shutil.copytree(ASSETS / "shirt", project.images / "shirt")
    second = version(project).dataset.digest
    assert restore(project, first[:8]) == first
    assert restore(project, second) == second
    shutil.rmtree(project.data)
    assert restore(project, None) == second, "the newest"
    assert project.prepare().digest == second


@pytest.mark.parametrize("digest", ["f" * 64, ""])
def test_an_unknown_version_is_refused_with_those_that_are_known(project: Project, digest: str):
    made = version(project).dataset.digest
    with pytest.raises(DataError, match=f"no data version '{digest}'; known, the newest first: {made[:16]}"):
        restore(project, digest)


def test_a_beginning_of_two_digests_is_refused():
    with pytest.raises(DataError, match="2 versions of the data begin with 'a'; known, the newest first: ab, ac"):
        choose_version("a", {"ab": "", "ac": ""})


def test_without_a_version_the_pinned_one_comes_back(project: Project):
    pin_dataset(made := version(project))
    version_file(project.home, made.dataset.digest).unlink()
    shutil.rmtree(project.data)
    assert restore(project, None) == made.dataset.digest


def test_without_any_version_nothing_is_restored(project: Project):
    project.prepare()
    with pytest.raises(DataError, match="no version of the data is known here: run `evergreen run`"):
        restore(project, None)


def forget_the_manifest(project: Project) -> None:
    (project.data / "manifest.json").unlink()


def pack_something_new(project: Project) -> None:
    shutil.copytree(ASSETS / "shirt", project.images / "shirt")
    project.prepare()


@pytest.mark.parametrize("change", [forget_the_manifest, pack_something_new])
def test_data_of_which_no_version_is_kept_is_not_replaced(project: Project, change):
    made = version(project)
    change(project)
    before = set(project.shard_times())
    with pytest.raises(DataError, match="of which no version is kept, and which would be lost"):
        restore(project, made.dataset.digest)
    assert set(project.shard_times()) == before


def test_a_version_that_is_nowhere_is_named(project: Project):
    made = version(project)
    shutil.rmtree(project.root / ".dvc" / "cache")
    shutil.rmtree(project.home / "dvc-remote")
    with pytest.raises(DataError, match=rf"{made.dvc_md5} is in neither the DVC cache nor the remote"):
        restore_dataset(made.dvc_text, folder=project.data, root=project.root, remote="", home=project.home)
    assert project.prepare().reason.startswith("reused"), "what was there is still there"


def test_another_digest_than_promised_is_refused(project: Project):
    made = version(project)
    text = made.dvc_text.replace(made.dataset.digest, "f" * 64)
    with pytest.raises(DataError, match=f"holds digest {made.dataset.digest}, its .dvc text says ffff"):
        restore_dataset(text, folder=project.root / "other", root=project.root, remote="", home=project.home)
    assert not (project.root / "other").exists()
    assert not list(project.root.glob(".other-*"))


def test_a_dataset_that_was_packed_anew_is_not_versioned_under_the_old_digest(project: Project):
    old = project.prepare()
    min(project.images.rglob("*.png")).unlink()
    project.prepare()
    with pytest.raises(DataError, match="it was packed anew; run again"):
        version_dataset(old, root=project.root, remote="", home=project.home)


def test_a_folder_without_dvc_is_named(project: Project):
    shutil.rmtree(project.root / ".dvc")
    with pytest.raises(DataError, match=r"DVC failed in .*a project needs its \.dvc folder"):
        version(project)


def test_an_unknown_remote_is_named(project: Project):
    with pytest.raises(DataError, match=r"remote 'backup' doesn't exist"):
        version(project, remote="backup")


def test_a_remote_that_cannot_be_written_is_named(project: Project, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file/remote"):
        version(project, remote=str(tmp_path / "file" / "remote"))


def test_nothing_is_pinned_at_first(project: Project):
    assert read_pinned(project.root) is None


def test_a_damaged_pin_is_named(project: Project):
    (project.root / "data.dvc").write_text("outs: []\n")
    with pytest.raises(DataError, match=r"data\.dvc names no dataset version .*`evergreen data pin`"):
        read_pinned(project.root)


def test_what_differs_from_the_pin_is_said(project: Project):
    pin_dataset(version(project))
    pinned = read_pinned(project.root)
    assert pinned is not None
    assert compare_with_pinned(project.prepare(), pinned) == (
        f"the data is the pinned baseline, digest {pinned.digest[:12]}"
    )
    for file in sorted((project.images / "coat").iterdir())[:10]:
        file.unlink()
    fewer = compare_with_pinned(project.prepare(), pinned)
    assert "is not the pinned baseline" in fewer
    assert "train" in fewer
    assert "(coat -" in fewer
    shutil.copytree(ASSETS / "shirt", project.images / "shirt")
    assert "classes differ: with shirt" in compare_with_pinned(project.prepare(), pinned)


def test_the_committed_baseline_is_fashion_mnist():
    pinned = read_pinned(ASSETS.parents[2])
    assert pinned is not None
    assert pinned.classes[0] == "T-shirt/top"
    assert pinned.counts["test"] == (1000,) * 10
    assert sum(map(sum, pinned.counts.values())) == 70_000


def test_a_remote_that_fills_up_is_named(project: Project, tmp_path: Path):
    remote = tmp_path / "remote"
    remote.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(remote)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    try:
        with pytest.raises(DataError, match=r"remote/files/md5 did not take .*No space left on device"):
            version(project, remote=str(remote))
    finally:
        subprocess.run(["umount", str(remote)], check=True)
    assert version(project, remote=str(remote)).dvc_md5
