"""Which batch is the best, by a clock that the test sets."""

import pytest

import serving.warm_up
from serving.warm_up import find_batch, seconds_of


class Clock:
    """Time goes on only where a call says how long it takes."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(serving.warm_up, "time", clock)
    return clock


def model_with(clock, seconds):
    """A model that takes `seconds(size)`; it remembers which sizes it was asked for."""
    asked = []

    def predict(size):
        asked.append(size)
        clock.now += seconds(size)

    return predict, asked


@pytest.mark.parametrize(
    ("seconds", "most", "best"),
    [
        (lambda size: 0.01 + 0.0001 * size, 64, 64),
        (lambda size: 0.01 + 0.0001 * size, 50, 50),
        (lambda size: 0.001 * size, 64, 1),
        (lambda size: 0.0001 * max(size, 8), 64, 8),
        (lambda size: 0.0001 * max(size, 8) * (1 if size == 8 else 1.04), 64, 8),
        (lambda size: 0.0002 if size == 2 else 0.0001 * max(size, 8) / 8, 64, 8),
        (lambda size: 0.02 + 0.02 * size, 64, 8),
        (lambda size: 1.0, 64, 1),
        (lambda size: 0.001, 1, 1),
    ],
    ids=[
        "ever better", "up to the limit", "linear", "better up to 8", "hardly worse after it", "a dip on the way",
        "as long as one keeps nobody waiting", "too slow for any", "one is all it may be",
    ],
)  # fmt: skip
def test_the_best_batch(clock, seconds, most, best):
    predict, asked = model_with(clock, seconds)
    assert find_batch(predict, most, clock.perf_counter) == best
    assert set(range(1, best + 1)) <= set(asked)  # all are warm
    assert max(asked) <= most


def test_warming_up_all_sizes_has_an_end(clock):
    predict, asked = model_with(clock, lambda size: 0.2 + 0.0001 * size)
    assert find_batch(predict, 64, clock.perf_counter) == 64
    assert len(set(asked)) < 30


def calls_of(clock, *seconds):
    """A call that takes `seconds`, one after the other, and the list of those that it has taken."""
    taken = []

    def call():
        taken.append(seconds[len(taken)])
        clock.now += taken[-1]

    return call, taken


def test_the_first_calls_do_not_count(clock):
    call, taken = calls_of(clock, 0.05, 0.04, 0.012, 0.011, 0.013)
    assert seconds_of([call], clock.perf_counter) == [pytest.approx(0.011)]
    assert len(taken) == 5


def test_calls_that_are_compared_take_turns(clock):
    order = []
    calls = [lambda name=name: order.append(name) for name in "ab"]
    assert seconds_of(calls, clock.perf_counter) == [0, 0]
    assert "".join(order) == "ab" * 5


def test_slow_calls_are_few(clock):
    call, taken = calls_of(clock, 3.0, 2.0, 1.0)
    assert seconds_of([call], clock.perf_counter) == [2.0]  # the first one never counts
    assert len(taken) == 2


def test_a_busy_machine_makes_nothing_slower(clock):
    """What is waited for counts for the time to warm up alone, not in what is measured."""

    def call():
        clock.now += 0.4

    assert seconds_of([call], lambda: 7.0) == [0.0]


def test_a_first_call_that_prepares_for_long_is_not_taken_for_a_slow_size(clock):
    seen = set()

    def seconds(size):
        is_new = size not in seen
        seen.add(size)
        return 3.0 if is_new else 0.001

    predict, _ = model_with(clock, seconds)
    assert find_batch(predict, 16, clock.perf_counter) == 16
