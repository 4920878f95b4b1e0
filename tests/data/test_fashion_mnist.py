import gzip
import hashlib
import http.server
import shutil
import struct
import threading
from pathlib import Path

import pytest

from tasks.data.dataset import Split
from tasks.data.sources import fashion_files
from tasks.data.sources.fashion_mnist import CLASSES, open_fashion_mnist
from tasks.data.sources.raw import report_nothing
from tasks.errors import DataError
from tests.data.idx_files import LABELS, write_idx


@pytest.fixture
def small_fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four files in Fashion-MNIST's place, their SHA-256 expected; no mirror, no apt, no installed package."""
    folder = tmp_path / "mirror"
    write_idx(folder, "train")
    write_idx(folder, "t10k")
    sums = {}
    for file in folder.iterdir():
        sums[file.name.removesuffix(".gz")] = _sha256(gzip.decompress(file.read_bytes()))
    monkeypatch.setattr(fashion_files, "CONTENTS_SHA256", sums)
    monkeypatch.setattr("tasks.data.sources.fashion_mnist.CONTENTS_SHA256", sums)
    monkeypatch.setattr(fashion_files, "INSTALLED", tmp_path / "installed")
    monkeypatch.setattr(fashion_files, "MIRRORS", ())
    monkeypatch.setattr(fashion_files, "fetch_by_apt", _no_apt)
    return folder


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _no_apt(draft: Path, report: object) -> None:
    raise fashion_files.FetchError("apt-get not found: not a Debian-like system")


@pytest.fixture
def server(small_fashion: Path):
    """The address of a real HTTP server on the four files."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, directory=str(small_fashion), **options)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def test_fashion_mnist_from_a_mirror_is_verified_and_kept(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fashion_files, "MIRRORS", ("http://127.0.0.1:9/", server))
    seen = []
    source = open_fashion_mnist("", "x", tmp_path, tmp_path, lambda *progress: seen.append(progress))
    images = list(source.read())
    assert {image.label for image in images} == set(CLASSES[:4])
    assert source.class_order == CLASSES
    assert {image.added_at[:10] for image in images} == {"2017-08-25"}
    assert seen
    monkeypatch.setattr(fashion_files, "MIRRORS", ())
    assert fashion_files.obtain_files(tmp_path, report_nothing) == tmp_path / "cache" / "fashion-mnist"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["fashion-mnist"], "no draft stays"


def test_a_failure_lists_all_that_was_tried(
    tmp_path: Path, small_fashion: Path, server: str, monkeypatch: pytest.MonkeyPatch
):
    (small_fashion / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(struct.pack(">2I", 0x801, 5) + b"\0" * 5))
    monkeypatch.setattr(fashion_files, "MIRRORS", ("http://127.0.0.1:9/", f"{server}nowhere/", server))
    with pytest.raises(DataError) as caught:
        fashion_files.obtain_files(tmp_path, report_nothing)
    first, *tried, last = str(caught.value).splitlines()
    assert first == "Fashion-MNIST could not be fetched; tried:"
    expected = [
        f"{tmp_path / 'cache' / 'fashion-mnist'}: not there",
        "package dataset-fashion-mnist is not installed",
        "http://127.0.0.1:9/: ",
        f"{server}nowhere/: Client error '404",
        f"{server}: t10k-labels-idx1-ubyte.gz has SHA-256 ",
        "apt-get download dataset-fashion-mnist: apt-get not found",
    ]
    assert len(tried) == len(expected)
    for line, part in zip(tried, expected, strict=True):
        assert part in line
    assert "name it as `location`" in last
    assert list((tmp_path / "cache").iterdir()) == []


def test_other_files_are_not_taken_for_fashion_mnist(tmp_path: Path, small_fashion: Path):
    write_idx(small_fashion, "train", labels=LABELS[::-1])
    source = open_fashion_mnist(str(small_fashion), "x", tmp_path, tmp_path, report_nothing)
    with pytest.raises(DataError, match=r'train-labels.* is not Fashion-MNIST\'s: SHA-256 .*use kind = "idx"'):
        next(source.read())


def test_apt_fetches_the_real_files_without_root(tmp_path: Path):
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        pytest.skip("not a Debian-like system")
    try:
        folder = fashion_files.fetch_aside(fashion_files.fetch_by_apt, tmp_path / "files", report_nothing)
    except fashion_files.FetchError as error:
        pytest.skip(f"no package can be fetched: {error}")
    source = open_fashion_mnist(str(folder), "x", tmp_path, tmp_path, report_nothing)
    counts = dict.fromkeys(Split, 0)
    for image in source.read():
        counts[image.split] += 1
    assert counts == {Split.TRAIN: 60_000, Split.VALIDATION: 0, Split.TEST: 10_000}
    assert sorted(file.name for file in folder.iterdir()) == sorted(
        f"{name}.gz" for name in fashion_files.CONTENTS_SHA256
    )


def test_a_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(fashion_files.FetchError, match="apt-get and dpkg not found"):
        fashion_files.fetch_by_apt(tmp_path, report_nothing)


def test_a_failing_apt_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for tool in ("apt-get", "dpkg"):
        script = tmp_path / tool
        script.write_text("#!/bin/sh\necho 'Reading lists' >&2\necho 'E: Unable to locate package' >&2\nexit 100\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "draft").mkdir()
    with pytest.raises(fashion_files.FetchError, match="apt-get exited 100: E: Unable to locate package"):
        fashion_files.fetch_by_apt(tmp_path / "draft", report_nothing)
