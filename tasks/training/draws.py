"""Counter-based random draws: each is a function of (seed, epoch, image index, stream), never of the order.

The mixing is SplitMix64's finaliser (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
generators"), in wrapping int64 arithmetic that gives the same bits on every device.
"""

import enum

import torch
from torch import Tensor

GOLDEN_GAMMA = -7046029254386353131  # 0x9E3779B97F4A7C15
MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


class Stream(enum.IntEnum):
    """What a draw is for; two streams of one image are independent."""

    ORDER = 0
    FLIP = 1
    SHIFT_Y = 2
    SHIFT_X = 3


def mix(values: Tensor) -> Tensor:
    """Return the bits of `values` (N,) int64 mixed to look random."""
    values = (values ^ logical_shift(values, 30)) * MIX_1
    values = (values ^ logical_shift(values, 27)) * MIX_2
    return values ^ logical_shift(values, 31)


def logical_shift(values: Tensor, bits: int) -> Tensor:
    """Shift int64 right without its sign."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def draw_bits(indices: Tensor, *, seed: int, epoch: int, stream: Stream) -> Tensor:
    """Return (N,) int64 in [0, 2**63) for image `indices` (N,) int64."""
    key = torch.tensor(seed, dtype=torch.int64, device=indices.device)
    for part in (epoch, int(stream)):
        key = mix((key + part + 1) * GOLDEN_GAMMA)
    return logical_shift(mix(mix(indices * GOLDEN_GAMMA + key)), 1)


def draw_integers(indices: Tensor, bound: int, *, seed: int, epoch: int, stream: Stream) -> Tensor:
    """Return (N,) int64 in [0, bound); the bias of the remainder is below bound / 2**63."""
    return draw_bits(indices, seed=seed, epoch=epoch, stream=stream) % bound


def draw_order(count: int, *, seed: int, epoch: int, device: torch.device) -> Tensor:
    """Return a permutation (count,) int64 of the images for one epoch."""
    indices = torch.arange(count, device=device)
    return torch.argsort(draw_bits(indices, seed=seed, epoch=epoch, stream=Stream.ORDER), stable=True)
