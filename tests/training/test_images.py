"""Where images are read from, and that it is the same images."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tasks.training import pixels as pixels_module
from tasks.training.images import Resident, open_images
from tasks.training.pixels import Rows, open_pixels
from tasks.training.streamed import Streamed

CPU = torch.device("cpu")
TRAIN_BYTES = 240 * 28 * 28


@pytest.mark.parametrize(("limit", "kind"), [(TRAIN_BYTES, Resident), (TRAIN_BYTES - 1, Streamed)])
def test_the_limit_decides_and_the_images_are_the_same(pixel_map, spec, monkeypatch, limit, kind):
    monkeypatch.setattr(pixels_module, "CHUNK_BYTES", 100 * 784)  # 240 are not a whole number of chunks
    pixels = open_pixels(pixel_map, Rows.TRAIN)
    images = open_images(pixels, replace(spec.execution, max_resident_bytes=limit), CPU)
    assert type(images) is kind
    blocks = list(torch.randperm(240, generator=torch.Generator().manual_seed(0)).split(50))
    read = list(images.read(blocks))
    assert len(read) == 5
    for rows, found in zip(blocks, read, strict=True):
        assert np.array_equal(found.numpy(), pixels.images[rows.numpy()])
