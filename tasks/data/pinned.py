"""The pinned baseline: the committed .dvc file, and the .dvc text of every version. Knows no dvc, so it is quick.

A .dvc text is what `dvc add` writes, with the dataset's digest and counts as `meta`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from serving.bundle.durable import write_durably
from tasks.data.dataset import Dataset, DatasetVersion
from tasks.errors import DataError

HASH = "md5"


@dataclass(frozen=True)
class PinnedBaseline:
    """What the committed .dvc file says: the version that a fresh clone must arrive at."""

    md5: str
    digest: str
    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    text: str


def pin_dataset(version: DatasetVersion) -> Path:
    """Write the version as the folder's .dvc file, for a person to commit, and return its path."""
    path = pin_file(version.dataset.folder)
    write_durably(path, version.dvc_text)
    return path


def read_pinned(root: Path, folder: Path = Path("data")) -> PinnedBaseline | None:
    """Return the committed baseline of the project's data folder, or None where nothing is pinned.

    Raises:
        DataError: the .dvc file is damaged.
    """
    path = pin_file((root / folder).resolve())
    return parse_dvc_text(path.read_text(), str(path)) if path.is_file() else None


def pin_file(folder: Path) -> Path:
    """Return the .dvc file that pins a data folder: beside it, as `dvc add` names it."""
    return folder.with_name(f"{folder.name}.dvc")


def version_file(home: Path, digest: str) -> Path:
    """Return where the .dvc text of a dataset's version is kept."""
    return home / "versions" / f"{digest}.dvc.txt"  # DVC takes each *.dvc below a project for a stage


def known_versions(home: Path, pinned: PinnedBaseline | None) -> dict[str, str]:
    """Return the .dvc text of every version by its digest: those kept in `home`, the newest first, then the pinned."""
    files = sorted((home / "versions").glob("*.dvc.txt"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    known = {file.name.removesuffix(".dvc.txt"): file.read_text() for file in files}
    if pinned is not None:
        known.setdefault(pinned.digest, pinned.text)
    return known


def choose_version(digest: str | None, known: Mapping[str, str]) -> str:
    """Return the .dvc text of the version whose digest begins with `digest`; the first known one for None.

    Raises:
        DataError: none is known, or not exactly one begins so.
    """
    if not known:
        raise DataError("no version of the data is known here: run `evergreen run`, which makes one")
    if digest is None:
        return next(iter(known.values()))
    found = [name for name in known if digest and name.startswith(digest)]
    if len(found) != 1:
        what = f"{len(found)} versions of the data begin with {digest!r}" if found else f"no data version {digest!r}"
        raise DataError(f"{what}; known, the newest first: {', '.join(name[:16] for name in known)}")
    return known[found[0]]


def parse_dvc_text(text: str, where: str) -> PinnedBaseline:
    """Return what a .dvc text says; `where` is for the message.

    Raises:
        DataError: it is not one that this project wrote.
    """
    try:
        values = yaml.safe_load(text)
        meta = values["meta"]
        counts = {str(split): tuple(numbers) for split, numbers in meta["counts"].items()}
        md5, digest = str(values["outs"][0][HASH]), str(meta["digest"])
        return PinnedBaseline(md5, digest, tuple(meta["classes"]), counts, text)
    except (yaml.YAMLError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise DataError(f"{where} names no dataset version ({error!r}): write it with `evergreen data pin`") from error


def compare_with_pinned(dataset: Dataset, pinned: PinnedBaseline) -> str:
    """Return a sentence that says whether the dataset is the pinned one, and what differs if not."""
    if dataset.digest == pinned.digest:
        return f"the data is the pinned baseline, digest {pinned.digest[:12]}"
    if dataset.classes != pinned.classes:
        gone = [name for name in pinned.classes if name not in dataset.classes]
        new = [name for name in dataset.classes if name not in pinned.classes]
        parts = [f"without {', '.join(gone)}"] * bool(gone) + [f"with {', '.join(new)}"] * bool(new)
        detail = f"classes differ: {' and '.join(parts) or 'another order'}"
    else:
        detail = _describe_counts(dataset, pinned) or "the same counts in every split and class: other images or splits"
    return f"the data (digest {dataset.digest[:12]}) is not the pinned baseline ({pinned.digest[:12]}): {detail}"


def _describe_counts(dataset: Dataset, pinned: PinnedBaseline) -> str:
    changes = []
    for split, numbers in dataset.counts.items():
        before = pinned.counts.get(split, (0,) * len(numbers))
        differing = [
            f"{name} {new - old:+d}"
            for name, old, new in zip(dataset.classes, before, numbers, strict=True)
            if new != old
        ]
        if differing:
            changes.append(f"{split} {sum(before)} -> {sum(numbers)} ({', '.join(differing)})")
    return "; ".join(changes)


def version_text(dataset: Dataset, *, md5: str, size_bytes: int, n_files: int) -> str:
    """Return the text `dvc add` would write, with the digest and the counts as meta."""
    out = {"md5": md5, "size": size_bytes, "nfiles": n_files, "hash": HASH, "path": dataset.folder.name}
    counts = {split: list(numbers) for split, numbers in dataset.counts.items()}
    meta = {"digest": dataset.digest, "classes": list(dataset.classes), "counts": counts}
    outs_text = yaml.safe_dump({"outs": [out]}, sort_keys=False)
    return outs_text + yaml.safe_dump(
        {"meta": meta}, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True
    )
