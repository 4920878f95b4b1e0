"""The order of an epoch: which image stands in which place, from (seed, epoch) alone."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.training.draws import Stream, draw_bits, stream_keys, to_integers


@dataclass(frozen=True)
class Order:
    """The image (N,) int64 in each place, and how often it came before in this epoch, (N,) int64; None: never."""

    images: Tensor
    repeats: Tensor | None


def draw_order(count: int, *, seed: int, epoch: int, device: torch.device) -> Order:
    """Return each of `count` images once."""
    indices = torch.arange(count, device=device)
    keys = stream_keys(seed, [epoch], [Stream.ORDER], device)
    return Order(torch.argsort(draw_bits(keys, indices)[0], stable=True), None)


def draw_balanced(labels: Tensor, *, seed: int, epoch: int) -> Order:
    """Return for each place a class, all equally likely, and one of its images; rare classes repeat theirs.

    Takes `labels` (N,) int64, every class of which has an image, and draws on their device.
    """
    counts = torch.bincount(labels)
    firsts = counts.cumsum(0) - counts  # where a class starts among the images in the order of their labels
    by_class = torch.argsort(labels, stable=True)
    keys = stream_keys(seed, [epoch] * 2, [Stream.CLASS, Stream.MEMBER], labels.device)
    of_class, of_member = draw_bits(keys, torch.arange(len(labels), device=labels.device))
    chosen = to_integers(of_class, len(counts))
    images = by_class[firsts[chosen] + to_integers(of_member, counts[chosen])]
    return Order(images, count_repeats(images))


def count_repeats(images: Tensor) -> Tensor:
    """Return how often the same number stands before each place, (N,) int64."""
    order = torch.argsort(images, stable=True)
    values = images[order]
    repeats = torch.arange(len(images), device=images.device) - torch.searchsorted(values, values)
    return repeats[torch.argsort(order)]  # back from the sorted places
