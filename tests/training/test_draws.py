"""Draws are functions of (seed, epoch, image index, stream): uniform, and never of the order they are asked in."""

import pytest
import torch
from scipy import stats

from tasks.training.draws import Stream, draw_bits, draw_integers, draw_order, logical_shift, mix

COUNT = 20_000
INDICES = torch.arange(COUNT)
BASE = {"seed": 5, "epoch": 3, "stream": Stream.FLIP}


@pytest.mark.parametrize("stream", list(Stream))
@pytest.mark.parametrize("bound", [2, 5, 9])
def test_draws_are_uniform(stream, bound):
    draws = draw_integers(INDICES, bound, seed=5, epoch=3, stream=stream)
    counts = torch.bincount(draws, minlength=bound)
    assert len(counts) == bound
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


@pytest.mark.parametrize("change", [{"seed": 6}, {"epoch": 4}, {"stream": Stream.SHIFT_X}], ids=str)
def test_another_key_gives_an_independent_draw(change):
    first = draw_integers(INDICES, 4, **BASE)
    second = draw_integers(INDICES, 4, **{**BASE, **change})
    pairs = torch.bincount(4 * first + second, minlength=16).view(4, 4)
    assert stats.chi2_contingency(pairs.numpy()).pvalue > 1e-4


def test_neighbouring_images_are_independent():
    draws = draw_integers(INDICES, 4, **BASE)
    pairs = torch.bincount(4 * draws[:-1] + draws[1:], minlength=16).view(4, 4)
    assert stats.chi2_contingency(pairs.numpy()).pvalue > 1e-4


def test_a_draw_does_not_depend_on_what_else_is_drawn():
    rows = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))[:100]
    assert torch.equal(draw_bits(rows, **BASE), draw_bits(INDICES, **BASE)[rows])


def test_bits_are_positive_and_distinct():
    bits = draw_bits(INDICES, **BASE)
    assert bits.min() >= 0
    assert len(bits.unique()) == COUNT


def test_mixing_is_splitmix64():
    state = 0x9E3779B97F4A7C15  # the first state of SplitMix64 seeded with 0; its first output is published
    signed = torch.tensor([state - 2**64])
    assert int(mix(signed)) % 2**64 == 0xE220A8397B1DCDAF


def test_a_logical_shift_drops_the_sign():
    assert logical_shift(torch.tensor([-1]), 60).item() == 15


def test_an_order_is_a_permutation_of_its_own():
    cpu = torch.device("cpu")
    first, second = (draw_order(1000, seed=5, epoch=epoch, device=cpu) for epoch in (0, 1))
    assert torch.equal(first.sort().values, torch.arange(1000))
    assert not torch.equal(first, torch.arange(1000))
    assert (first == second).sum() < 20
    assert torch.equal(first, draw_order(1000, seed=5, epoch=0, device=cpu))
