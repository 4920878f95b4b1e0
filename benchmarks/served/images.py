"""Random images: a few large blotches each, and noise."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serving.bundle.decode import Pixels

_CELLS = 4  # blotches along a side


def make_images(count: int, *, channels: int, size_px: int, seed: int) -> list[Pixels]:
    """Return images (S, S) or (S, S, 3) uint8."""
    generator = np.random.default_rng(seed)
    blotches = generator.integers(0, 256, size=(count, _CELLS, _CELLS, channels)).astype(np.float32)
    repeats = -(-size_px // _CELLS)
    wide = blotches.repeat(repeats, axis=1).repeat(repeats, axis=2)[:, :size_px, :size_px]
    noisy = (0.7 * wide + 0.3 * generator.integers(0, 256, size=wide.shape)).round().astype(np.uint8)
    return [np.ascontiguousarray(image[:, :, 0] if channels == 1 else image) for image in noisy]


def to_batch(images: Sequence[Pixels]) -> NDArray[np.uint8]:
    """Return (N, C, S, S) of images (S, S) or (S, S, 3)."""
    stacked = np.stack(images)
    return stacked[:, None] if stacked.ndim == 3 else np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))
