"""The figures of the table, and their comparison with the goals."""

import math

import pytest

from benchmarks.contenders import FREE, LIGHTNING, SHIPPED, TEXTBOOK
from benchmarks.ratios import compare, spread
from benchmarks.training_table import Figures, Goals, describe_accuracy, table, verdicts


def test_a_ratio_is_the_mean_of_log_ratios_with_its_bounds():
    ratio = compare([math.exp(0.01), math.exp(0.02), math.exp(0.03)], [1.0, 1.0, 1.0])
    assert ratio.mean == pytest.approx(math.exp(0.02))
    reach = 2.9200 * 0.01 / math.sqrt(3)  # t(0.95, 2 degrees of freedom) = 2.9200, from a printed table
    assert ratio.high == pytest.approx(math.exp(0.02 + reach), abs=1e-6)
    assert ratio.low == pytest.approx(math.exp(0.02 - reach), abs=1e-6)
    assert ratio.pairs == 3


@pytest.mark.parametrize(("speeds", "others"), [([1.0], [1.0]), ([1.0, 2.0], [1.0])])
def test_what_are_no_pairs_is_refused(speeds, others):
    with pytest.raises(ValueError, match="expected as many of each"):
        compare(speeds, others)


def test_the_spread_of_speeds():
    assert spread([7398.4, 7267.1, 7769.0]) == "7,267 / 7,398 / 7,769"
    assert spread([44.21, 45.0, 43.56]) == "43.6 / 44.2 / 45"


def measured(*, free=(3000.0, 3050.0, 3100.0), shipped=(3000.0, 3040.0, 3080.0)):
    return {
        TEXTBOOK: Figures([900.0, 1100.0, 1000.0], peak_bytes=500 * 2**20),
        LIGHTNING: Figures([1200.0, 1250.0, 1300.0]),
        FREE: Figures(list(free)),
        SHIPPED: Figures(
            list(shipped), 400 * 2**20, 700 * 2**20, training_s=20.04, process_s=24.0, test_accuracy=0.912
        ),
    }


def test_the_table_compares_with_the_faster_peer():
    head, rule, textbook, lightning, _, shipped = table(measured(), accuracy=0.90)
    assert head.count("|") == rule.count("|") == textbook.count("|")
    assert textbook == "| (a) textbook PyTorch | 900 / 1,000 / 1,100 | 3 | 0.80 | - | - | - | 500 | - |"
    assert "| 1.00 |" in lightning
    assert shipped.endswith("| 3,000 / 3,040 / 3,080 | 3 | 2.43 | 20.0 | 24.0 | 0.9120 | 400 | 700 |")


def test_an_accuracy_that_was_not_reached_is_marked():
    assert describe_accuracy(0.8999, 0.9) == "0.8999, below 0.9"
    assert describe_accuracy(0.9, 0.9) == "0.9000"
    assert describe_accuracy(None, 0.9) == "-"


@pytest.mark.parametrize(
    ("figures", "goals", "expected"),
    [
        (measured(), Goals(1.5, 0.03), ["at least 1.5, met", "at most 3%, met"]),
        (measured(), Goals(2.5, 0.001), ["at least 2.5, missed", "at most 0%, missed"]),
        (measured(shipped=(2800.0, 3090.0, 3140.0)), Goals(1.5, 0.03), ["met", "missed"]),
    ],
    ids=["both met", "both missed", "the bound decides, not the mean"],
)
def test_goals_are_judged(figures, goals, expected):
    said = list(verdicts(figures, goals))
    assert len(said) == len(expected)
    assert all(part in sentence for part, sentence in zip(expected, said, strict=True))


def test_without_goals_nothing_is_judged():
    said = " ".join(verdicts(measured(), None))
    assert said.startswith("(d) is 2.43 (90 % interval 2.")
    assert ", n = 3) times as fast as the faster of (a) and (b)." in said
    assert "goal" not in said
