import pytest

from tasks.data.copies import Copy, Fate, judge_copies
from tasks.data.dataset import Split

KEPT, DUPLICATE, TEST_COPY, CONFLICT = Fate.KEPT, Fate.DUPLICATE, Fate.TEST_COPY, Fate.CONFLICT


def train(label="bag"):
    return Copy(label, Split.TRAIN, is_published_test=False)


def validation(label="bag"):
    return Copy(label, Split.VALIDATION, is_published_test=False)


def drawn_test(label="bag"):
    return Copy(label, Split.TEST, is_published_test=False)


def published(label="bag"):
    return Copy(label, Split.TEST, is_published_test=True)


@pytest.mark.parametrize(
    ("copies", "fates"),
    [
        ([train()], [KEPT]),
        ([train(), train()], [KEPT, DUPLICATE]),
        ([train(), validation(), train()], [DUPLICATE, KEPT, DUPLICATE]),
        ([train(), drawn_test()], [TEST_COPY, KEPT]),
        ([drawn_test(), drawn_test()], [KEPT, DUPLICATE]),
        ([train(), published()], [TEST_COPY, KEPT]),
        ([drawn_test(), published()], [DUPLICATE, KEPT]),
        ([published(), published()], [KEPT, KEPT]),
        ([train("bag"), train("coat")], [CONFLICT, CONFLICT]),
        ([train("bag"), train("bag"), validation("coat")], [CONFLICT, CONFLICT, CONFLICT]),
        ([train("bag"), published("coat")], [CONFLICT, KEPT]),
        ([published("bag"), published("coat")], [KEPT, KEPT]),
    ],
    ids=[
        "alone",
        "the first stays",
        "validation before train",
        "drawn test before train",
        "drawn test twice",
        "a train copy of a published test image",
        "a drawn copy of a published test image",
        "published twice: the official count stays",
        "two labels: nobody knows",
        "two labels, three rows",
        "a published test image keeps its label",
        "published under two labels: not ours to alter",
    ],
)
def test_fate_of_copies(copies, fates):
    assert judge_copies(copies) == fates
