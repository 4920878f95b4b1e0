"""Adaptive average pooling by matrices: what torch's own gives, forwards and backwards."""

import pytest
import torch
from torch import nn

from serving.bundle.module import script_module
from tasks.training.pooling import AveragePool, replace_pools


@pytest.mark.parametrize("cells", [(7, 7), (14, 14), (13, 5), (3, 4), (1, 1), (31, 32)])
@pytest.mark.parametrize("bins", [(7, 7), (6, 5), (1, 1)])
def test_it_averages_as_torch_does(cells, bins):
    torch.manual_seed(0)
    maps = torch.randn(2, 3, *cells, dtype=torch.float64, requires_grad=True)
    expected, found = nn.AdaptiveAvgPool2d(bins)(maps), AveragePool(*bins)(maps)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(expected)
    gradients = [torch.autograd.grad(pooled, maps, weights)[0] for pooled in (expected, found)]
    torch.testing.assert_close(gradients[1], gradients[0])
    torch.testing.assert_close(script_module(AveragePool(*bins))(maps), expected)


def test_only_pools_to_several_cells_are_replaced():
    network = nn.Sequential(
        nn.AdaptiveAvgPool2d((7, 6)), nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d((1, 1)), nn.AdaptiveAvgPool2d(2)
    )
    replace_pools(network)
    assert [type(layer).__name__ for layer in network] == [
        "AveragePool",
        "AdaptiveAvgPool2d",
        "AdaptiveAvgPool2d",
        "AveragePool",
    ]
    assert (network[0].height, network[0].width) == (7, 6)
