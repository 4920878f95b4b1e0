"""A folder of PNG and JPEG files, one folder a class; top folders train, validation and test are published splits."""

from collections.abc import Iterator
from pathlib import Path

from tasks.data.dataset import Split
from tasks.data.sources.addresses import Address, FoundFile, fingerprint, list_files, list_folders, open_address
from tasks.data.sources.raw import RawImage, Source
from tasks.errors import DataError

SPLIT_FOLDERS = {"train": Split.TRAIN, "validation": Split.VALIDATION, "val": Split.VALIDATION, "test": Split.TEST}
SUFFIXES = (".png", ".jpg", ".jpeg")
BLOCK_BYTES = 16_000_000  # read at once: a remote file system answers them side by side
BLOCK_FILES = 256


def open_image_folder(location: str, name: str, root: Path) -> Source:
    """Return the source of a folder of images.

    Every file in a class's folder counts as an image, so that one of a wrong format is named and not lost;
    beside the class folders only images count, and have no label.

    Raises:
        DataError: no folder, no images in it, or a class without any.
    """
    address = open_address(location, root)
    if not address.fs.isdir(address.path):
        raise DataError(f"{address.text} is a file: image_folder needs a folder with a folder for each class")
    listed = list_files(address)
    is_split = _has_split_folders(listed)
    files = [file for file in listed if _label(file, is_split) or file.relative.lower().endswith(SUFFIXES)]
    if not any(file.relative.lower().endswith(SUFFIXES) for file in files):
        raise DataError(
            f"{address.text} holds no images: {len(listed)} files, none of them {', '.join(SUFFIXES)}; "
            "expected CLASS/IMAGE.png, or train/CLASS/IMAGE.png with test/"
        )
    _refuse_empty_classes(address, files, is_split)
    return Source(
        name=name,
        kind="image_folder",
        fingerprint=fingerprint(address, files),
        size_bytes=sum(file.size_bytes for file in files),
        n_images=len(files),
        read=lambda: _read(address, files, is_split),
        publishes=frozenset(split for file in files if (split := _split(file, is_split)) is not None),
    )


def _read(address: Address, files: list[FoundFile], is_split: bool) -> Iterator[RawImage]:
    for block in _blocks(files):
        contents = address.fs.cat([file.path for file in block])
        if isinstance(contents, bytes):
            contents = {block[0].path: contents}
        for file in block:
            label, split = _label(file, is_split), _split(file, is_split)
            yield RawImage(contents[file.path], label, split, file.relative, file.modified_at)


def _blocks(files: list[FoundFile]) -> Iterator[list[FoundFile]]:
    block: list[FoundFile] = []
    for file in files:
        if block and (len(block) == BLOCK_FILES or sum(f.size_bytes for f in block) + file.size_bytes > BLOCK_BYTES):
            yield block
            block = []
        block.append(file)
    if block:
        yield block


def _has_split_folders(files: list[FoundFile]) -> bool:
    """Say whether the top folders are splits: all of them named so, train among them, and classes below."""
    inside = [file.relative.split("/") for file in files if "/" in file.relative]
    tops = {parts[0].lower() for parts in inside}
    return "train" in tops and tops <= set(SPLIT_FOLDERS) and all(len(parts) > 2 for parts in inside)


def _split(file: FoundFile, is_split: bool) -> Split | None:
    return SPLIT_FOLDERS.get(file.relative.split("/")[0].lower()) if is_split else None


def _label(file: FoundFile, is_split: bool) -> str | None:
    folders = file.relative.split("/")[1 if is_split else 0 : -1]
    return folders[0] if folders else None


def _refuse_empty_classes(address: Address, files: list[FoundFile], is_split: bool) -> None:
    depth = 2 if is_split else 1
    classes = {folder for folder in list_folders(address) if folder.count("/") == depth - 1}
    filled = {"/".join(file.relative.split("/")[:depth]) for file in files}
    empty = sorted(classes - filled)
    if empty:
        raise DataError(
            f"{address.text}: no images in the class folder{'s' if len(empty) > 1 else ''} "
            f"{', '.join(map(repr, empty))}; add images, or remove the folder"
        )
