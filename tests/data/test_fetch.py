"""A version's files as cache and remote have them, altered or not."""

import shutil
from pathlib import Path

import pytest

from tasks.data.fetch import fetch_version
from tasks.data.versioning import version_dataset
from tasks.errors import DataError


@pytest.fixture
def versioned(project):
    """A project with a version in its cache and its remote: (project, the version, the remote's folder)."""
    remote = project.root / "remote"
    version = version_dataset(project.prepare(), root=project.root, remote=str(remote), home=project.home)
    return project, version, remote


def fetch(project, version, remote, folder: Path):
    return list(fetch_version(version.dvc_md5, folder, root=project.root, remote=str(remote), home=project.home))


def objects(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.parent.parent.name == "md5"]


def overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.mark.parametrize("has_cache", [True, False], ids=["from the cache", "from the remote"])
def test_files_come_back_as_they_were(versioned, tmp_path, has_cache):
    project, version, remote = versioned
    cache = project.root / ".dvc" / "cache"
    if not has_cache:
        shutil.rmtree(cache)
    listing, *files = fetch(project, version, remote, tmp_path / "back")
    assert listing.name == version.dvc_md5
    assert all(file.is_intact for file in [listing, *files])
    assert all(file.place.startswith(str(cache if has_cache else remote)) for file in files)
    back = {path.name: path.read_bytes() for path in (tmp_path / "back").iterdir()}
    assert back == {path.name: path.read_bytes() for path in project.data.iterdir()}
    assert {file.name for file in files} == set(back)


def test_what_was_altered_is_handed_on_and_the_cache_is_left_alone(versioned, tmp_path):
    project, version, remote = versioned
    shutil.rmtree(project.root / ".dvc" / "cache")
    for path in objects(remote):
        if not path.name.endswith(".dir"):
            overwrite(path, b"other")
    listing, *files = fetch(project, version, remote, tmp_path / "back")
    assert listing.is_intact
    assert len(files) >= 2
    assert [file.is_intact for file in files] == [False] * len(files)
    assert {(tmp_path / "back" / file.name).read_bytes() for file in files} == {b"other"}
    assert objects(project.root / ".dvc") == []


def test_after_an_altered_list_nothing_is_fetched(versioned, tmp_path):
    project, version, remote = versioned
    shutil.rmtree(project.root / ".dvc" / "cache")
    (listing,) = [path for path in objects(remote) if path.name.endswith(".dir")]
    overwrite(listing, b'[{"md5": "00", "relpath": "../../outside"}]')
    (found,) = fetch(project, version, remote, tmp_path / "back")
    assert not found.is_intact
    assert list((tmp_path / "back").iterdir()) == []


def test_a_version_that_is_nowhere_names_the_way_out(versioned, tmp_path):
    project, version, remote = versioned
    shutil.rmtree(project.root / ".dvc" / "cache")
    shutil.rmtree(remote)
    with pytest.raises(
        DataError, match=r"neither the DVC cache nor the remote .*remote: name the remote .*--data-remote"
    ):
        fetch(project, version, remote, tmp_path / "back")
