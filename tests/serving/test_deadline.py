import pytest

from serving.deadline import NEVER, read_deadline
from serving.errors import BadInputError


@pytest.mark.parametrize(
    ("header", "timeout_s", "deadline"),
    [
        (None, 30.0, 130.0),
        (None, 0, NEVER),
        ("250", 30.0, 100.25),
        (" 250 ", 0, 100.25),
        ("60000", 30.0, 160.0),
        ("1", 30.0, 100.001),
    ],
    ids=["the settings say", "no end", "the request says", "it says, and the settings nothing", "longer", "shortest"],
)
def test_deadline(header, timeout_s, deadline):
    assert read_deadline(header, arrived=100.0, timeout_s=timeout_s) == pytest.approx(deadline)


@pytest.mark.parametrize("header", ["", "0", "-5", "1.5", "soon", "1e3", "9" * 5000, "²"])
def test_what_is_no_time_is_refused(header):
    with pytest.raises(BadInputError, match=r"x-timeout-ms is '.*'; expected whole milliseconds, 1 or more"):
        read_deadline(header, arrived=100.0, timeout_s=30.0)
