"""What a training looks at before it trains."""

from dataclasses import replace

import pytest

from tasks.errors import DataError
from tasks.training.pixels import Rows
from tasks.training.trainer import open_split


def test_a_split_has_the_specs_shape(spec):
    assert open_split(spec, Rows.VALIDATION).images.shape == (60, 1, 28, 28)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"channels": 3}, r"holds images of shape \(1, 28, 28\), the spec says \(3, 28, 28\): build the map anew"),
        ({"size_px": 32}, r"the spec says \(1, 32, 32\)"),
        ({"classes": ("bag", "coat")}, r"expected 0 to 1"),
    ],
    ids=["channels", "size", "labels without a class"],
)
def test_another_shape_is_refused(spec, changes, text):
    with pytest.raises(DataError, match=text):
        open_split(replace(spec, **changes), Rows.VALIDATION)
