"""Warming a model up, and measuring it meanwhile: TorchScript and its kernels prepare at the first calls of a size."""

import time
from collections.abc import Callable, Sequence
from functools import partial

Clock = Callable[[], float]  # seconds: `thread_time` on a CPU, where neighbours do not count, `perf_counter` elsewhere

_WARM_UP_ROUNDS = 2
_ROUNDS = 3
_ENOUGH_S = 1.0  # of measuring, warm-up included
_NEARLY = 1.05  # times the least seconds an image: a larger batch that saves less only delays
_LONGEST_S = 0.25  # of one batch; a longer one keeps everyone waiting
_ALL_SIZES_S = 1.0  # to warm up the sizes between


def seconds_of(calls: Sequence[Callable[[], object]], clock: Clock) -> list[float]:
    """Return the least seconds of each call, after rounds that warm up; calls take turns, slow ones fewer."""
    until = time.perf_counter() + _ENOUGH_S
    rounds: list[list[float]] = []
    for _ in range(_WARM_UP_ROUNDS + _ROUNDS):
        rounds.append([_timed(call, clock) for call in calls])
        if time.perf_counter() > until and len(rounds) > 1:
            break
    counted = rounds[min(_WARM_UP_ROUNDS, len(rounds) - 1) :]
    return [min(seconds) for seconds in zip(*counted, strict=True)]


def find_batch(predict: Callable[[int], object], most: int, clock: Clock) -> int:
    """Return the least batch size that is nearly as fast an image as the best one, and warm up all sizes up to it.

    `predict` answers so many images. Sizes that are powers of two, and `most`, are measured; those between are called
    once each, as long as that takes little.
    """
    calls = {}
    for size in _sizes(most):
        call = partial(predict, size)
        if size > 1 and _timed(call, clock) > _LONGEST_S and _timed(call, clock) > _LONGEST_S:
            break
        calls[size] = call
    seconds = seconds_of([*calls.values()], clock)
    each_s = {size: taken / size for size, taken in zip(calls, seconds, strict=True)}
    best = next(size for size in calls if each_s[size] <= _NEARLY * min(each_s.values()))
    until = time.perf_counter() + _ALL_SIZES_S
    for between in range(2, best):
        if time.perf_counter() > until:
            break
        predict(between)
    return best


def _sizes(most: int) -> list[int]:
    """Return the powers of two from 1 below `most`, and `most`."""
    return [*(2**power for power in range(most.bit_length()) if 2**power < most), most]


def _timed(call: Callable[[], object], clock: Clock) -> float:
    started = clock()
    call()
    return clock() - started
