"""The running average of a network's weights, which is the model: one call for all tensors a step."""

import copy

import torch
from torch import nn


class Average:
    """A copy of `network` whose weights and statistics follow it: new = decay * old + (1 - decay) * current.

    Source: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima"; with decay as in Tarvainen, Valpola 2017.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.decay = decay
        here, there = [list(module.state_dict().values()) for module in (self.network, network)]
        kinds = [tensor.is_floating_point() for tensor in here]
        self.floats = [tensor for tensor, is_float in zip(here, kinds, strict=True) if is_float]
        self.counts = [tensor for tensor, is_float in zip(here, kinds, strict=True) if not is_float]
        self.sources = [tensor for tensor, is_float in zip(there, kinds, strict=True) if is_float]
        self.count_sources = [tensor for tensor, is_float in zip(there, kinds, strict=True) if not is_float]

    @torch.no_grad()
    def update(self, *, is_first: bool) -> None:
        """Take in the network's present weights; the first time they are the average."""
        torch._foreach_lerp_(self.floats, self.sources, 1.0 if is_first else 1.0 - self.decay)
        if self.counts:
            torch._foreach_copy_(self.counts, self.count_sources)
