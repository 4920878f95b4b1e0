"""How a network made for 224 px takes images of another size."""

import re

import pytest
import torch
from torch import nn

from tasks.errors import ConfigError
from tasks.training import vision
from tasks.training.stem import FAMILIES, Stem, fit_stem, halve, plan_stem

MODELS = vision.import_models()


def test_each_architecture_has_one_row_and_each_row_an_architecture():
    names = MODELS.list_models(module=MODELS)
    assert len(names) >= 80
    rows = {name: [row for row in FAMILIES if re.fullmatch(row, name)] for name in names}
    assert {name: found for name, found in rows.items() if len(found) != 1} == {}
    assert {found[0] for found in rows.values()} == set(FAMILIES)


@pytest.mark.parametrize(
    ("name", "size_px", "seen_px", "made_for_px", "halved"),
    [
        ("resnet18", 224, 224, 224, ()),
        ("resnet18", 112, 112, 112, ()),
        ("resnet18", 111, 111, 111, ("maxpool",)),
        ("resnet18", 56, 56, 56, ("maxpool",)),
        ("resnet18", 55, 55, 55, ("maxpool", "conv1")),
        ("resnet18", 5, 8, 8, ("maxpool", "conv1")),
        ("inception_v3", 20, 21, 21, ("maxpool1", "Conv2d_1a_3x3.conv")),
        ("vit_b_16", 28, 28, 112, ("conv_proj", "conv_proj")),  # patches of 4, 7 a side
        ("vit_b_16", 29, 32, 128, ("conv_proj", "conv_proj")),
        ("vit_b_16", 60, 64, 128, ("conv_proj",)),  # patches of 8
        ("vit_b_16", 224, 224, 224, ()),
        ("vit_h_14", 28, 30, 140, ("conv_proj", "conv_proj")),  # patches of 3
        ("maxvit_t", 225, 448, 448, ()),
        ("maxvit_t", 112, 224, 224, ()),
        ("maxvit_t", 56, 112, 224, ("stem.0.0",)),
    ],
)
def test_plan(name, size_px, seen_px, made_for_px, halved):
    stem = plan_stem(name, size_px)
    assert (stem.seen_px, stem.made_for_px, stem.halved) == (seen_px, made_for_px, halved)


def test_what_a_later_torchvision_adds_is_refused_with_a_way_out():
    with pytest.raises(ConfigError, match=r"'resnet18_v9' .* first layers are not known here: choose .* resnet18"):
        plan_stem("resnet18_v9", 28)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"kernel_size": 7, "stride": 2, "padding": 3}, {"kernel_size": (3, 3), "stride": (1, 1), "padding": (1, 1)}),
        ({"kernel_size": 3, "stride": 2, "padding": 1}, {"kernel_size": (3, 3), "stride": (1, 1), "padding": (1, 1)}),
        ({"kernel_size": 3, "stride": 2, "padding": 0}, {"kernel_size": (3, 3), "stride": (1, 1), "padding": (0, 0)}),
        ({"kernel_size": 1, "stride": 2, "padding": 0}, {"kernel_size": (1, 1), "stride": (1, 1), "padding": (0, 0)}),
        (
            {"kernel_size": 11, "stride": 4, "padding": 2},
            {"kernel_size": (11, 11), "stride": (2, 2), "padding": (2, 2)},
        ),
        ({"kernel_size": 11, "stride": 2, "padding": 2}, {"kernel_size": (3, 3), "stride": (1, 1), "padding": (1, 1)}),
        ({"kernel_size": 16, "stride": 16}, {"kernel_size": (8, 8), "stride": (8, 8), "padding": (0, 0)}),
        ({"kernel_size": 7, "stride": 7}, {"kernel_size": (3, 3), "stride": (3, 3), "padding": (0, 0)}),
        ({"kernel_size": 2, "stride": 2}, {"kernel_size": (3, 3), "stride": (1, 1), "padding": (1, 1)}),
    ],
    ids=["resnet", "mobilenet", "inception", "regnet's side path", "alexnet", "alexnet again", "vit", "vit_h", "swin"],
)
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_halved(before, after, bias):
    layer = nn.Conv2d(3, 5, bias=bias, **before)
    weight = layer.weight
    halved = halve(layer)
    assert {name: getattr(halved, name) for name in after} == after
    assert (halved.in_channels, halved.out_channels, halved.bias is not None) == (3, 5, bias)
    assert (halved.weight is weight) == (layer.kernel_size == halved.kernel_size)


@pytest.mark.parametrize("pool", [nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(3, 2, 1)])
def test_a_pool_halved_is_nothing(pool):
    assert isinstance(halve(pool), nn.Identity)


def test_layers_are_halved_in_place_and_as_often_as_named():
    network = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.MaxPool2d(2))
    fit_stem(network, Stem(8, 8, ("0", "0", "1"), {}))
    assert network(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 8, 8)
