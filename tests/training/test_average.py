"""The average is torch's AveragedModel of exponential weights, in two calls."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tasks.training.average import Average


@pytest.mark.parametrize("decay", [0.0, 0.4, 0.98])
def test_it_is_torchs(decay):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    theirs = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    ours = Average(network, decay)
    for step in range(5):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        network(torch.randn(8, 1, 5, 5))
        theirs.update_parameters(network)
        ours.update(is_first=step == 0)
    found, expected = ours.network.state_dict(), theirs.module.state_dict()
    assert len(found) == 7
    assert found.pop("1.num_batches_tracked") == 5  # torch averages the counter too, as an integer
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name
    assert not any(parameter.requires_grad for parameter in ours.network.parameters())
