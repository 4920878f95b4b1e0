"""Fashion-MNIST: 60,000 training and 10,000 test images, 28 x 28 grey, ten classes of clothing.

Source: H. Xiao, K. Rasul, R. Vollgraf, arXiv:1708.07747; https://github.com/zalandoresearch/fashion-mnist (MIT).
"""

from collections.abc import Iterator
from pathlib import Path

from tasks.data.sources.addresses import Address, fingerprint, open_address
from tasks.data.sources.fashion_files import CONTENTS_SHA256, obtain_files
from tasks.data.sources.idx import IMAGES, PREFIXES, IdxPair, content_sha256, count_images, find_pairs, read_pair
from tasks.data.sources.raw import RawImage, Report, Source
from tasks.errors import DataError

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
PUBLISHED = "2017-08-25T00:00:00+00:00"  # arXiv:1708.07747, version 1; file times differ from mirror to mirror


def open_fashion_mnist(location: str, name: str, root: Path, home: Path, report: Report) -> Source:
    """Return the source at `location`; where that is empty, fetch the files into the cache in `home` first.

    Raises:
        DataError: a file is missing, or no place had the files.
    """
    address = open_address(location or str(obtain_files(home, report)), root)
    pairs = find_pairs(address)
    if len(pairs) != len(PREFIXES):
        raise DataError(f"{address.text} has no {IMAGES.format('t10k')}[.gz]: Fashion-MNIST has four files")
    files = [file for pair in pairs for file in (pair.images, pair.labels)]
    return Source(
        name=name,
        kind="fashion-mnist",
        fingerprint=fingerprint(address, files),
        size_bytes=sum(file.size_bytes for file in files),
        n_images=sum(count_images(address, pair) for pair in pairs),
        read=lambda: _read(address, pairs),
        publishes=frozenset(pair.split for pair in pairs),
        class_order=CLASSES,
    )


def _read(address: Address, pairs: list[IdxPair]) -> Iterator[RawImage]:
    for pair in pairs:
        for file in (pair.images, pair.labels):
            found, expected = content_sha256(address, file), CONTENTS_SHA256[_plain_name(file.relative)]
            if found != expected:
                raise DataError(
                    f"{file.path} is not Fashion-MNIST's: SHA-256 {found} of its contents, expected {expected}; "
                    'delete it and run again, or use kind = "idx" for images of your own'
                )
    for pair in pairs:
        yield from read_pair(address, pair, dict(enumerate(CLASSES)), PUBLISHED)


def _plain_name(relative: str) -> str:
    return relative.removesuffix(".gz").replace(".idx", "-idx")
