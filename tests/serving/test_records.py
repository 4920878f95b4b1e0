import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

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


def test_a_reference_has_the_columns_of_a_record(tiny_bundle):
    table = pq.read_table(tiny_bundle / "reference.parquet")
    assert table.num_rows == REFERENCE_ROWS
    assert table.column_names == [column.name for column in COLUMNS]
    assert [field.nullable for field in table.schema] == [column.is_nullable for column in COLUMNS]
    assert {field.name for field in dataclasses.fields(ImageStatistics)} < set(table.column_names)
