"""Draws are functions of (seed, epoch, stream, index, repeat): uniform, and never of the order they are asked in."""

import pytest
import torch
from scipy import stats

from tasks.training.draws import Stream, draw_bits, logical_shift, mix, stream_keys, to_fractions, to_integers

CPU = torch.device("cpu")
COUNT = 20_000
INDICES = torch.arange(COUNT)
BASE = {"seed": 5, "epoch": 3, "stream": Stream.FLIP, "repeat": 0}
LOWEST_P = 1e-4  # the draws are fixed: a test that passes once passes always


def draw(seed, epoch, stream, repeat=0):
    return draw_bits(stream_keys(seed, [epoch], [stream], CPU), INDICES, torch.full((COUNT,), repeat))[0]


def dependence(first, second):
    pairs = torch.bincount(4 * to_integers(first, 4) + to_integers(second, 4), minlength=16).view(4, 4)
    return stats.chi2_contingency(pairs.numpy()).pvalue


@pytest.mark.parametrize("stream", list(Stream))
@pytest.mark.parametrize("bound", [2, 5, 4097])
def test_integers_are_uniform(stream, bound):
    counts = torch.bincount(to_integers(draw(5, 3, stream), bound), minlength=bound)
    assert len(counts) == bound
    assert stats.chisquare(counts.numpy()).pvalue > LOWEST_P


@pytest.mark.parametrize("stream", list(Stream))
def test_fractions_are_uniform(stream):
    fractions = to_fractions(draw(5, 3, stream)).numpy()
    assert stats.kstest(fractions, "uniform").pvalue > LOWEST_P


def test_fractions_end_below_one():
    ends = to_fractions(torch.tensor([0, 2**63 - 1]))
    assert ends.tolist() == [0.0, 1 - 2**-53]


@pytest.mark.parametrize("change", [{"seed": 6}, {"epoch": 4}, {"stream": Stream.SHIFT_X}, {"repeat": 1}], ids=str)
def test_another_key_gives_an_independent_draw(change):
    assert dependence(draw(**BASE), draw(**{**BASE, **change})) > LOWEST_P


def test_neighbouring_images_are_independent():
    draws = draw(**BASE)
    assert dependence(draws[:-1], draws[1:]) > LOWEST_P


def test_a_draw_does_not_depend_on_what_else_is_drawn():
    rows = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))[:100]
    keys = stream_keys(5, [3, 0], [Stream.FLIP, Stream.ANGLE], CPU)
    together = draw_bits(keys, rows)
    assert torch.equal(together[0], draw(5, 3, Stream.FLIP)[rows])
    assert torch.equal(together[1], draw(5, 0, Stream.ANGLE)[rows])


def test_the_first_time_needs_no_count():
    keys = stream_keys(5, [3], [Stream.FLIP], CPU)
    assert torch.equal(draw_bits(keys, INDICES), draw_bits(keys, INDICES, torch.zeros_like(INDICES)))


def test_bits_are_positive_and_distinct():
    bits = torch.cat([draw(**BASE), draw(**{**BASE, "repeat": 1})])
    assert bits.min() >= 0
    assert len(bits.unique()) == 2 * COUNT


def test_mixing_is_splitmix64():
    state = 0x9E3779B97F4A7C15  # the first state of SplitMix64 seeded with 0; its first output is published
    signed = torch.tensor([state - 2**64])
    assert int(mix(signed)) % 2**64 == 0xE220A8397B1DCDAF


def test_a_logical_shift_drops_the_sign():
    assert logical_shift(torch.tensor([-1]), 60).item() == 15


def test_the_draws_stay_as_they_are():
    """Otherwise no model of before could be made again."""
    assert draw(5, 3, Stream.SHIFT_Y)[:2].tolist() == [8047447285983050485, 1343733057265321899]
    assert draw(5, 3, Stream.SHIFT_Y, repeat=2)[:2].tolist() == [4609914941173459641, 4552568485347845267]
