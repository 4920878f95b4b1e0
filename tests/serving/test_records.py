import dataclasses
import tracemalloc

import numpy as np
import pyarrow.parquet as pq
import pytest

from serving import records
from serving.records import COLUMNS, STATISTICS, ImageStatistics, image_statistics, measure_images
from tests.bundles import REFERENCE_ROWS

CHECKERS = np.indices((8, 8)).sum(axis=0).astype(np.uint8) % 2 * 255


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.zeros((5, 7), np.uint8), ImageStatistics(0, 0, 0, 5, 7)),
        (np.full((5, 7, 3), 255, np.uint8), ImageStatistics(1, 0, 0, 5, 7)),
        (np.full((1, 2), 51, np.uint8), ImageStatistics(0.2, 0, 0, 1, 2)),
        (CHECKERS, ImageStatistics(0.5, 0.5, 16, 8, 8)),
        (CHECKERS[..., None], ImageStatistics(0.5, 0.5, 16, 8, 8)),
        (np.repeat(CHECKERS[..., None], 3, axis=2), ImageStatistics(0.5, 0.5, 16, 8, 8)),
        (np.full((4, 4, 3), (255, 0, 0), np.uint8), ImageStatistics(0.299, 0, 0, 4, 4)),
    ],
    ids=["black", "white", "too small for sharpness", "checkers", "one channel", "three alike", "red by its luma"],
)
def test_image_statistics(image, expected):
    assert dataclasses.astuple(image_statistics(image)) == pytest.approx(dataclasses.astuple(expected), abs=1e-5)


@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 1), (9, 11, 3), (2, 7), (28, 28)])
def test_an_image_has_the_same_statistics_alone_and_among_others(shape):
    images = np.random.default_rng(0).integers(0, 255, (50, *shape), np.uint8)
    alone = [dataclasses.astuple(image_statistics(image)) for image in images]
    assert measure_images(images).tolist() == alone
    assert len(set(alone)) == 50
    assert STATISTICS.names == tuple(field.name for field in dataclasses.fields(ImageStatistics))


@pytest.mark.parametrize(
    "shape", [(100, 30), (100, 30, 3), (101, 30), (33, 30), (3, 400), (400, 3), (1, 900), (900, 1)]
)
def test_an_image_measured_in_bands_has_the_same_statistics(monkeypatch, shape):
    images = np.random.default_rng(0).integers(0, 255, (2, *shape), np.uint8)
    images[0, 0], images[0, -1] = 0, 255
    whole = measure_images(images)
    monkeypatch.setattr(records, "_BAND_PIXELS", 890)
    monkeypatch.setattr(records, "_laplacian", counted := Counted(records._laplacian))
    banded = measure_images(images)
    for name in STATISTICS.names:
        np.testing.assert_allclose(banded[name], whole[name], rtol=2e-6)
    assert counted.calls >= 2  # one for each image, and for each of its bands; else one for all


class Counted:
    def __init__(self, function) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)


def test_a_large_image_takes_no_more_memory_than_its_bands(monkeypatch):
    image = np.full((3000, 3000, 3), 51, np.uint8)
    tracemalloc.start()
    measured = image_statistics(image)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 60_000_000  # bytes; at once it would be 144 million
    assert dataclasses.astuple(measured) == pytest.approx((0.2, 0, 0, 3000, 3000), abs=1e-6)


def test_a_reference_has_the_columns_of_a_record(tiny_bundle):
    table = pq.read_table(tiny_bundle / "reference.parquet")
    assert table.num_rows == REFERENCE_ROWS
    assert table.column_names == [column.name for column in COLUMNS]
    assert [field.nullable for field in table.schema] == [column.is_nullable for column in COLUMNS]
    assert {field.name for field in dataclasses.fields(ImageStatistics)} < set(table.column_names)
