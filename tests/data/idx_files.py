"""Small IDX files, written as the format says."""

import gzip
import struct
from pathlib import Path

import numpy as np

IMAGES = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
LABELS = np.array([3, 1, 2, 0, 1], np.uint8)


def write_idx(folder: Path, prefix: str, *, packed: bool = True, images=IMAGES, labels=LABELS) -> None:
    folder.mkdir(exist_ok=True)
    files = {
        f"{prefix}-images-idx3-ubyte": struct.pack(">4I", 0x803, *images.shape) + images.tobytes(),
        f"{prefix}-labels-idx1-ubyte": struct.pack(">2I", 0x801, len(labels)) + labels.tobytes(),
    }
    for name, data in files.items():
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(data) if packed else data)
