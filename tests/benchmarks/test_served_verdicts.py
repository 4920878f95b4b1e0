"""Tables, goals and verdicts of the benchmarks of the server, on figures that are made up."""

import argparse
import math

import pytest

from benchmarks import serving_overload
from benchmarks.served.bare import best_batch
from benchmarks.served.bench import Plan, planned_seconds
from benchmarks.served.figures import Figures
from benchmarks.served.found import ALONE, ONE_THREAD, TWO_THREADS, Found
from benchmarks.served.goals import OfLimit, OfP99, OfRate, goals_of, judge_goals
from benchmarks.served.growth import fit_growth
from benchmarks.served.held import MIB, Held, in_mib, judge_memory
from benchmarks.served.start import describe_imports, import_seconds, log_moments
from benchmarks.served.table import closed_table, limits_table, ms, open_table

PLAN = Plan(rounds=3, closed_s={1: 3, 16: 4, 64: 8}, open_s=5, bare_s=2)


def rounds(*rates, p99_s=0.010, **errors):
    return [Figures(rate, p99_s / 2, p99_s, errors) for rate in rates]


def found():
    return Found(
        limits={ALONE: [100.0, 100.0], ONE_THREAD: [200.0, 400.0], TWO_THREADS: [300.0, 300.0]},
        batches={ALONE: 1, ONE_THREAD: 16, TWO_THREADS: 32},
        closed={
            "evergreen": {1: rounds(61.0, 59.0), 16: rounds(190.0, 348.0)},
            "litserve": {16: rounds(90.0, 90.0, p99_s=0.030)},
            "bentoml": {16: rounds(110.0, 130.0, p99_s=0.015)},
        },
    )


@pytest.mark.parametrize(
    ("goal", "sentence"),
    [
        (OfLimit(1, ALONE, 0.6), "at 1 connection: 0.60 of the bare module's batch 1 (goal: at least 0.6, met)"),
        (
            OfLimit(16, ONE_THREAD, 0.9),  # round by round: 0.95 and 0.87
            "at 16 connections: 0.91 of the bare module's one thread (goal: at least 0.9, met)",
        ),
        (
            OfLimit(16, ONE_THREAD, 0.92),
            "at 16 connections: 0.91 of the bare module's one thread (goal: at least 0.92, missed)",
        ),
        (
            OfRate(16, ("litserve", "bentoml"), 2),
            "at 16 connections: 2.2 times the requests/s of bentoml (goal: at least 2, met)",
        ),
        (
            OfRate(16, ("litserve",), 4),
            "at 16 connections: 3.0 times the requests/s of litserve (goal: at least 4, missed)",
        ),
        (
            OfRate(16, ("bentoml",), 1),
            "at 16 connections: 2.2 times the requests/s of bentoml (goal: more than 1, met)",
        ),
        (OfP99(16, ("litserve",), 0.5), "at 16 connections: 0.33 of litserve's p99 (goal: at most 0.5, met)"),
        (OfP99(16, ("bentoml",), 0.5), "at 16 connections: 0.67 of bentoml's p99 (goal: at most 0.5, missed)"),
    ],
)
def test_goals_are_judged_by_medians(goal, sentence):
    assert list(goal.judge(found())) == [sentence]


def test_what_was_not_measured_is_not_judged():
    goals = (OfLimit(64, ONE_THREAD, 0.9), OfRate(16, ("mlflow",), 4), OfP99(64, ("litserve",), 0.5))
    assert list(judge_goals(found(), goals)) == []


@pytest.mark.parametrize(
    ("subject", "device", "count"), [("cnn", "cpu", 9), ("resnet18", "cpu", 5), ("cnn", "cuda", 1)]
)
def test_each_subject_has_goals(subject, device, count):
    assert len(goals_of(subject, device)) == count


def test_the_closed_table():
    lines = list(closed_table(found(), {"evergreen": "Evergreen", "bentoml": "BentoML"}))
    assert lines[0].startswith("| at 1 connection |")
    assert lines[2] == "| Evergreen | 59 / 60 / 61 | 0.23 | 5 | 10 | 0 |"
    assert lines[4].startswith("| at 16 connections |")
    assert lines[7] == "| BentoML | 110 / 120 / 130 | 0.44 | 7.5 | 15 | 0 |"
    assert {line.count("|") for line in lines if line} == {7}


def test_the_other_tables():
    assert list(limits_table(found()))[2:4] == [
        "| batch 1 | 1 | 100 / 100 / 100 |",
        "| one thread | 16 | 200 / 300 / 400 |",
    ]
    overloaded = Figures(80.0, 0.2, 2.0, {"503": 1200}, refused_p99_s=0.004, lag_p99_s=0.0012)
    opened = Found(opened={"evergreen": {120: [overloaded]}}, offered={"evergreen": {120: 144.0}})
    head, _, row = open_table(opened, {"evergreen": "Evergreen"})
    assert row == "| Evergreen, 120 % | 144 | 80 | 200 | 2,000 | 4 | 1,200 503 | 1.2 |"
    assert head.count("|") == row.count("|")
    assert ms(math.nan) == "-"


def options(**changed):
    return argparse.Namespace(**{"rounds": None, "seconds": None, "connections": None, "shares": [50], **changed})


def test_the_command_line_changes_the_plan():
    assert PLAN.changed(options(shares=[50, 80, 120])) == PLAN
    quick = PLAN.changed(options(seconds=1.0, rounds=1, shares=[]))
    assert quick == Plan(rounds=1, closed_s={1: 1, 16: 1, 64: 1}, open_s=1, bare_s=1, shares=())
    assert PLAN.changed(options(connections=[16, 32])).closed_s == {16: 4, 32: 8}


def test_a_plan_knows_about_how_long_it_takes():
    few, many = (planned_seconds(PLAN, servers) for servers in (1, 6))
    assert few < many
    assert 3 * (3 + 4 + 8) + 3 * 5 < many - planned_seconds(PLAN, 5) < 3 * (3 + 4 + 8) + 3 * 5 + 60


@pytest.mark.parametrize(
    ("rates", "best"),
    [
        ({1: 10, 2: 20, 4: 30, 8: 31, 16: 31, 32: 31}, 8),
        ({1: 10, 2: 10.1, 4: 10.1}, 1),
        ({1: 10, 2: 9, 4: 12, 8: 11, 16: 10}, 4),
        ({1: 1, 2: 2, 4: 4, 8: 8, 16: 16, 32: 32, 64: 64}, 64),
    ],
    ids=["more is hardly better", "noise", "a dip is passed", "to the end"],
)
def test_the_best_batch(rates, best):
    asked = []
    assert best_batch(lambda size: asked.append(size) or rates[size], 64) == best
    assert asked == sorted(set(asked))


def test_growth_is_a_line_with_its_interval():
    steady = fit_growth([0, 1000, 2000, 3000], [100.0, 130.0, 90.0, 110.0])
    assert steady.is_noise
    growing = fit_growth([0, 1000, 2000, 3000], [100.0, 2101.0, 4099.0, 6100.0])
    assert growing.slope == pytest.approx(2.0, abs=0.01)
    assert growing.low < 2.0 < growing.high
    assert not growing.is_noise
    assert fit_growth([0, 1, 2], [5.0, 5.0, 5.0]).is_noise
    with pytest.raises(ValueError, match="2 and 2 samples, expected as many of each, and 3 or more"):
        fit_growth([0, 1], [1.0, 2.0])


def test_memory_is_judged_by_a_worker_and_by_the_largest_process():
    bare = Held(pss=200 * MIB, rss=300 * MIB)
    two = [Held(20 * MIB, 60 * MIB), Held(210 * MIB, 330 * MIB), Held(210 * MIB, 420 * MIB)]
    fits, too_large = judge_memory(bare, [("one", 1, two[:2]), ("two", 2, two)])
    assert (
        fits == "- one: 1.15 times its PSS a worker, 1.10 times its RSS in the largest process (goal: under 1.3, met)"
    )
    assert "1.10 times its PSS" in too_large
    assert too_large.endswith("1.40 times its RSS in the largest process (goal: under 1.3, missed)")
    assert in_mib([20 * MIB, 210 * MIB]) == "230 = 20 + 210"
    assert in_mib([20 * MIB]) == "20"


def test_moments_of_a_log_are_from_the_start():
    lines = [
        '{"time": "2026-01-01T00:00:01.500+00:00", "message": "listening"}',
        "import time:  1 | 2 | os",
        '{"time": "2026-01-01T00:00:02.000+00:00", "message": "loading /tmp/x/bundle"}',
        '{"time": "2026-01-01T00:00:04.000+00:00", "message": "best given 32 images at once"}',
        '{"time": "2026-01-01T00:00:05.000+00:00", "message": "listening"}',
        '{"time": "2026-01-01T00:00:01.700+00:00", "message": "request", "code": 503}',
        '"no record"',
    ]
    moments = log_moments(lines, started=1767225600.0)
    assert moments == {"listening": 1.5, "loading": 2.0, "best given": 4.0}


def test_imports_are_added_by_package():
    lines = [
        "import time: self [us] | cumulative | imported package",
        "import time:       100 |        100 |   torch._C",
        "import time:    900000 |    1000000 | torch",
        "import time:    200000 |     200000 |     numpy.core",
        '{"message": "ready"}',
    ]
    seconds = import_seconds(lines)
    assert list(seconds) == ["torch", "numpy"]
    assert seconds["torch"] == pytest.approx(0.9001)
    assert describe_imports(seconds) == "torch 0.90, numpy 0.20, all others 0.00"


@pytest.mark.parametrize(
    ("over_s", "refused_s", "errors", "words"),
    [
        (0.19, 0.019, {"503": 5}, ["met", "met", "met"]),
        (0.21, 0.021, {"503": 5, "broken": 1}, ["missed", "missed", "missed"]),
    ],
    ids=["all met", "none met"],
)
def test_overload_is_judged_beside_capacity(over_s, refused_s, errors, words):
    full, over = Figures(100.0, 0.05, 0.1), Figures(100.0, 0.05, over_s, errors, refused_p99_s=refused_s)
    said = list(serving_overload.judge({80: [full], 100: [full], 200: [over]}))
    assert [sentence.rpartition(", ")[2].rstrip(")") for sentence in said] == words
    assert all("at 200 %" in sentence for sentence in said)


def test_an_overload_that_was_none_is_not_judged():
    full = Figures(100.0, 0.05, 0.1)
    (said,) = serving_overload.judge({80: [full], 100: [full], 200: [full]})
    assert said.startswith("- at 200 %: nobody was refused, so nothing is judged")
