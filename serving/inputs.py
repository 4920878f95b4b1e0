"""The batch that a network is given: one piece of memory, filled again and again."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from serving.bundle.contract import Contract
from serving.bundle.decode import Pixels


class Inputs:
    """Memory for up to `most` images (C, S, S) uint8; pinned, so that a GPU can fetch it by itself."""

    def __init__(self, contract: Contract, most: int, *, is_pinned: bool) -> None:
        channels, side = contract.channels, contract.size_px
        self._batch = torch.empty((most, channels, side, side), dtype=torch.uint8, pin_memory=is_pinned)
        pixels = self._batch.numpy()  # the same memory, by images (S, S) or (S, S, C)
        self._rows = list(pixels[:, 0] if channels == 1 else pixels.transpose(0, 2, 3, 1))
        self._shape = self._rows[0].shape

    def fill(self, images: Sequence[Pixels], preprocess: Callable[[Pixels], Tensor], *, is_fast: bool) -> Tensor:
        """Return (N, C, S, S): the images as they are where they have that shape, if `is_fast`, else preprocessed.

        What was returned before is overwritten.

        Raises:
            ValueError: an image comes out of `preprocess` in another shape.
        """
        for number, image in enumerate(images):
            if is_fast and image.shape == self._shape:
                self._rows[number][...] = image
                continue
            prepared, room = preprocess(image), self._batch[number]
            if prepared.shape != room.shape:
                raise ValueError(f"preprocess returns {tuple(prepared.shape)}, expected {tuple(room.shape)}")
            room.copy_(prepared)
        return self._batch[: len(images)]


def to_tensor(image: Pixels) -> Tensor:
    """Return (C, H, W) uint8 for an image (H, W) or (H, W, C)."""
    writable = image if image.flags.writeable else image.copy()  # torch warns of memory that it might write to
    pixels = torch.from_numpy(writable)
    return pixels.unsqueeze(0) if image.ndim == 2 else pixels.permute(2, 0, 1)
