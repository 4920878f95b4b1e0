import dataclasses

import numpy as np
import pytest

from serving.records import STATISTICS, image_statistics
from tasks.data import measure
from tasks.data.measure import Measurer

SHAPES = [(28, 28)] * 5 + [(40, 30, 3)] * 3 + [(28, 28)] * 2 + [(2, 50)] + [(40, 30)]


@pytest.mark.parametrize("block_pixels", [1, 2_000, 1 << 18], ids=["one by one", "a few", "as many as come"])
def test_every_row_has_its_images_figures_whatever_was_measured_with_it(monkeypatch, block_pixels):
    monkeypatch.setattr(measure, "BLOCK_PIXELS", block_pixels)
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 255, shape, np.uint8) for shape in SHAPES]
    rows = generator.permutation(len(images)).tolist()
    found = np.zeros(len(images), STATISTICS)
    measurer = Measurer(found)
    for image, row in zip(images, rows, strict=True):
        measurer.add(image, row)
    measurer.flush()
    assert found[rows].tolist() == [dataclasses.astuple(image_statistics(image)) for image in images]


def test_what_waits_is_bounded(monkeypatch):
    monkeypatch.setattr(measure, "BLOCK_PIXELS", 100)
    sizes = []

    def note(images):
        sizes.append(images.shape)
        return np.zeros(len(images), STATISTICS)

    monkeypatch.setattr(measure, "measure_images", note)
    measurer = Measurer(np.zeros(20, STATISTICS))
    for row in range(10):
        measurer.add(np.zeros((5, 6), np.uint8), row)
    measurer.add(np.zeros((50, 60), np.uint8), 10)
    assert sizes == [(4, 5, 6), (4, 5, 6), (2, 5, 6), (1, 50, 60)]
