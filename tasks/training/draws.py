"""Counter-based random draws: each is a function of (seed, epoch, stream, index, repeat), never of the order.

The mixing is SplitMix64's finaliser (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
generators"), in wrapping int64 arithmetic that gives the same bits on every device.
"""

import enum
from collections.abc import Sequence

import torch
from torch import Tensor

GOLDEN_GAMMA = -7046029254386353131  # 0x9E3779B97F4A7C15
MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
MIX_2 = -7723592293110705685  # 0x94D049BB133111EB
FRACTION_BITS = 53  # of a float64's mantissa


class Stream(enum.IntEnum):
    """What a draw is for; two streams of one image are independent."""

    ORDER = 0
    FLIP = 1
    SHIFT_Y = 2
    SHIFT_X = 3
    ANGLE = 4
    BRIGHTNESS = 5
    CONTRAST = 6
    ERASE_Y = 7
    ERASE_X = 8
    CLASS = 9
    MEMBER = 10


def mix(values: Tensor) -> Tensor:
    """Return the bits of `values` int64 mixed to look random."""
    values = (values ^ logical_shift(values, 30)) * MIX_1
    values = (values ^ logical_shift(values, 27)) * MIX_2
    return values ^ logical_shift(values, 31)


def logical_shift(values: Tensor, bits: int) -> Tensor:
    """Shift int64 right without its sign."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def stream_keys(seed: int, epochs: Sequence[int], streams: Sequence[Stream], device: torch.device) -> Tensor:
    """Return (K,) int64: what starts the draws of stream k in epoch k."""
    keys = torch.full((len(streams),), seed)
    for parts in (epochs, streams):
        keys = mix((keys + torch.tensor(parts, dtype=torch.int64) + 1) * GOLDEN_GAMMA)
    return keys.to(device)


def draw_bits(keys: Tensor, indices: Tensor, repeats: Tensor | None = None) -> Tensor:
    """Return (K, N) int64 in [0, 2**63): the draw of each stream for each image.

    `indices` (N,) int64 says which image; `repeats` (N,) or (K, N) int64 how often it came before in the epoch,
    None: never.
    """
    values = mix(indices * GOLDEN_GAMMA + keys.unsqueeze(1))
    if repeats is not None:
        values = values + repeats * GOLDEN_GAMMA
    return logical_shift(mix(values), 1)


def to_integers(bits: Tensor, bound: int | Tensor) -> Tensor:
    """Return int64 in [0, bound); the bias of the remainder is below bound / 2**63."""
    return bits % bound


def to_fractions(bits: Tensor) -> Tensor:
    """Return float64 in [0, 1), exact on every device."""
    return (bits >> (63 - FRACTION_BITS)).double() * 2.0**-FRACTION_BITS
