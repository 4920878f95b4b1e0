"""Pack one source: read, check, encode, write shards. What stands in the shards depends on the source alone."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from serving.bundle.durable import write_durably
from tasks.data.checks import check_quarantine, check_spellings
from tasks.data.disk import space_for
from tasks.data.manifest import Batch, Shard
from tasks.data.parallel import map_ordered
from tasks.data.rules import Rules, assign_split
from tasks.data.shards import BadImage, PackedImage, ShardWriter, pack_image
from tasks.data.sources.raw import RawImage, Report, Source
from tasks.errors import DataError

BLOCK_IMAGES = 500  # handed to a thread at once ...
BLOCK_BYTES = 16_000_000  # ... whichever is reached first
GROWTH = 1.3  # shards against the source's files: Fashion-MNIST's .gz of 30.8 MB become 41 MB


def pack_source(
    source: Source, folder: Path, rules: Rules, *, quarantine: Path, max_share: float, is_added: bool, report: Report
) -> Batch:
    """Write the source's shards into `folder` and its bad rows into `quarantine`, and return its batch.

    Raises:
        DataError: too many bad rows, a label in two spellings, a source that cannot be read, a folder that cannot be
            written, no disk space.
    """
    writer = ShardWriter(folder, source.name, rules.shard_bytes)
    packing = _Packing(source, writer, rules, report)
    try:
        with space_for(folder, int(source.size_bytes * GROWTH), f"pack {source.name}"):
            packing.run()
            shards = writer.close()
        write_quarantine(quarantine, source.name, packing.bad)
    except OSError as error:  # not the source's: those are told by `_read`
        raise DataError(
            f"the packed data of {source.name!r} cannot be written: {error}; make {folder} and {quarantine.parent} "
            "writable, or set data.folder and EVERGREEN_HOME to other folders"
        ) from error
    finally:
        writer.abandon()
    batch = packing.batch(shards, is_added=is_added)
    check_spellings(packing.labels, rules.classes, f"source {source.name!r}")
    check_quarantine(batch.quarantined, packing.done, max_share=max_share, source=source.name, file=quarantine)
    return batch


def write_quarantine(path: Path, source: str, bad: Iterable[BadImage]) -> None:
    """Write a source's bad rows, one JSON line each; without any, no file stands there."""
    lines = [
        json.dumps({"source": source, "name": row.name, "label": row.label, "reason": row.reason, "detail": row.detail})
        for row in bad
    ]
    if not lines:
        path.unlink(missing_ok=True)
        return
    write_durably(path, "".join(f"{line}\n" for line in lines))


class _Packing:
    """One source on its way into shards, with what was seen on it."""

    def __init__(self, source: Source, writer: ShardWriter, rules: Rules, report: Report) -> None:
        self.source, self.writer, self.rules, self.report = source, writer, rules, report
        self.labels: Counter[str] = Counter()  # of every row that has one, used or not
        self.packed_labels: Counter[str] = Counter()
        self.bad: list[BadImage] = []
        self.done = 0

    def run(self) -> None:
        """Pack every image, in the source's order."""
        stage = f"pack {self.source.name}"
        self.report(stage, 0, self.source.n_images)
        for block in map_ordered(self._pack_block, _blocks(_read(self.source))):
            for image in block:
                self._take(image)
            self.done += len(block)
            self.report(stage, self.done, self.source.n_images)

    def batch(self, shards: tuple[Shard, ...], *, is_added: bool) -> Batch:
        """Return the batch that the source became."""
        return Batch(
            name=self.source.name,
            kind=self.source.kind,
            rules=self.rules.digest,
            is_added=is_added,
            publishes=tuple(split.title for split in sorted(self.source.publishes)),
            class_order=self.source.class_order,
            labels=dict(sorted(self.packed_labels.items())),
            quarantined=dict(sorted(Counter(bad.reason for bad in self.bad).items())),
            shards=shards,
        )

    def _pack_block(self, images: list[RawImage]) -> list[PackedImage | BadImage]:
        return [pack_image(image, self.rules) for image in images]

    def _take(self, image: PackedImage | BadImage) -> None:
        if isinstance(image, BadImage):
            self.bad.append(image)
            if image.label is not None:
                self.labels[image.label] += 1
            return
        label = str(image.raw.label)
        self.labels[label] += 1
        self.packed_labels[label] += 1
        split = assign_split(image.sha256, image.raw.split, self.source.publishes, self.rules)
        self.writer.add(image, source=self.source.name, split=split.title)


def _read(source: Source) -> Iterator[RawImage]:
    """Yield the source's images.

    Raises:
        DataError: it cannot be read.
    """
    try:
        yield from source.read()
    except OSError as error:
        raise DataError(f"source {source.name!r} cannot be read: {error}; see that it is all there") from error


def _blocks(images: Iterator[RawImage]) -> Iterator[list[RawImage]]:
    block: list[RawImage] = []
    size = 0
    for image in images:
        block.append(image)
        size += len(image.data) if isinstance(image.data, bytes) else image.data.nbytes
        if len(block) == BLOCK_IMAGES or size >= BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block
