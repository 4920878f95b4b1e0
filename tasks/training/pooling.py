"""Adaptive average pooling with a gradient that is deterministic on every device."""

import torch
from torch import Tensor, nn


class AveragePool(nn.Module):
    """What `nn.AdaptiveAvgPool2d` does, as two matrix products.

    On CUDA torch's own has no deterministic gradient, unless it pools to one cell.
    Source: the list in `torch.use_deterministic_algorithms`.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height = height
        self.width = width

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, C, height, width) of maps (N, C, H, W)."""
        down = averages(maps.size(2), self.height, maps)  # (height, H)
        across = averages(maps.size(3), self.width, maps)  # (width, W)
        return down @ maps @ across.t()


def averages(cells: int, bins: int, like: Tensor) -> Tensor:
    """Return the matrix (bins, cells) that averages `cells` into `bins`, of the type and on the device of `like`."""
    numbers = torch.arange(bins, device=like.device).unsqueeze(1)
    first = torch.div(numbers * cells, bins, rounding_mode="floor")  # (bins, 1)
    last = torch.div((numbers + 1) * cells + bins - 1, bins, rounding_mode="floor")
    cell = torch.arange(cells, device=like.device)
    is_inside = (cell >= first) & (cell < last)
    return (is_inside / (last - first)).to(like.dtype)


def replace_pools(network: nn.Module) -> None:
    """Put `AveragePool` in the place of each adaptive pooling to more than one cell."""
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.AdaptiveAvgPool2d):
            size = layer.output_size
            match (size, size) if isinstance(size, int) else size:
                case (int(height), int(width)) if (height, width) != (1, 1):
                    network.set_submodule(name, AveragePool(height, width))
