"""How torchvision's networks, which are made for 224 px, take images of another size: a table, a row per family.

Such a network shrinks an image 32 times. Of 28 px that leaves a map of one cell, and in some families none. So the
first layers stop shrinking: below 112 px one halving is undone, below 56 px two, and from 28 px on the last map is
at least half as wide as with 224 px (but for inception, which does not pad). What resnet18 then does first:

    224 px: convolution 7x7 with stride 2, pool 2 -> 56 px
     64 px: convolution 7x7 with stride 2         -> 32 px
     28 px: convolution 3x3 with stride 1         -> 28 px

Only a convolution that is replaced by a smaller one loses the weights of a file. Sources: He et al. 2016, "Deep
residual learning", section 4.2, for the stem; Dosovitskiy et al. 2021 for smaller patches.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from tasks.errors import ConfigError

MADE_FOR_PX = 224


@dataclass(frozen=True)
class Family:
    """What the networks of one family need.

    Attributes:
        first: The layers that stop shrinking below 112 px: each halves its stride.
        second: The layers that do so below 56 px too.
        multiple_px: The network takes multiples of this, divided by 2 for each halving undone.
        least_px: With both undone, the network takes no smaller image.
        options: The constructor's arguments for a network that is made for so many pixels.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    multiple_px: int = 1
    least_px: int = 8
    options: Callable[[int], dict[str, Any]] = lambda _made_for_px: {}


def plain_output(_made_for_px: int) -> dict[str, Any]:
    """Return the arguments for a network without auxiliary classifiers, with its published initialisation."""
    return {"aux_logits": False, "init_weights": True}


def vision_transformer(patch_px: int) -> Family:
    """Return the family of vision transformers with patches of this size."""
    return Family(("conv_proj",), ("conv_proj",), patch_px, options=lambda made_for_px: {"image_size": made_for_px})


MAXVIT_BLOCK = "blocks.0.layers.0.layers.MBconv"
REGNET_BLOCK = "trunk_output.block1.block1-0"
FAMILIES = {
    r"alexnet": Family(("features.0",), ("features.0",), least_px=15),
    r"(convnext|swin|swin_v2)_(tiny|small|base|large|[tsb])": Family(("features.0.0",), ("features.0.0",)),
    r"densenet\d+": Family(("features.pool0",), ("features.conv0",)),
    r"efficientnet_b\d": Family(("features.0.0",), ("features.2.0.block.1.0",)),
    r"efficientnet_v2_.": Family(("features.0.0",), ("features.2.0.block.0.0",)),
    r"googlenet": Family(("maxpool1",), ("conv1.conv",), options=plain_output),
    r"inception_v3": Family(("maxpool1",), ("Conv2d_1a_3x3.conv",), least_px=21, options=plain_output),
    r"maxvit_t": Family(
        ("stem.0.0",),
        (f"{MAXVIT_BLOCK}.proj.0", f"{MAXVIT_BLOCK}.layers.conv_b.0"),
        multiple_px=MADE_FOR_PX,  # its windows of 7 px must divide each of its maps
        options=lambda made_for_px: {"input_size": (made_for_px, made_for_px)},
    ),
    r"mnasnet\d_\d+": Family(("layers.0",), ("layers.8.0.layers.3",)),
    r"mobilenet_v2": Family(("features.0.0",), ("features.2.conv.1.0",)),
    r"mobilenet_v3_large": Family(("features.0.0",), ("features.2.block.1.0",)),
    r"mobilenet_v3_small": Family(("features.0.0",), ("features.1.block.0.0",)),
    r"regnet_[xy]_.*": Family(("stem.0",), (f"{REGNET_BLOCK}.proj.0", f"{REGNET_BLOCK}.f.b.0")),
    r"(wide_)?resnex?t\d+(_2|_\d+x\dd)?": Family(("maxpool",), ("conv1",)),
    r"shufflenet_v2_.*": Family(("maxpool",), ("conv1.0",)),
    r"squeezenet1_[01]": Family(("features.2",), ("features.0",)),
    r"vgg11": Family(("features.2",), ("features.5",)),
    r"vgg11_bn": Family(("features.3",), ("features.7",)),
    r"vgg1[369]": Family(("features.4",), ("features.9",)),
    r"vgg1[369]_bn": Family(("features.6",), ("features.13",)),
    r"vit_[bl]_16": vision_transformer(16),
    r"vit_[bl]_32": vision_transformer(32),
    r"vit_h_14": vision_transformer(14),
}


@dataclass(frozen=True)
class Stem:
    """How one network takes images of one size.

    Attributes:
        seen_px: The size that the network sees; smaller images are enlarged to it.
        made_for_px: The size that its constructor is told, for it knows of no halving undone.
        halved: The layers whose stride is halved, in order.
        options: The constructor's arguments.
    """

    seen_px: int
    made_for_px: int
    halved: tuple[str, ...]
    options: dict[str, Any]


def plan_stem(architecture: str, size_px: int) -> Stem:
    """Return how the network takes images of `size_px`.

    Raises:
        ConfigError: the table has no row for it, which is so for a network that a later torchvision adds.
    """
    family = next((row for names, row in FAMILIES.items() if re.fullmatch(names, architecture)), None)
    if family is None:
        raise ConfigError(
            f"training.architecture = {architecture!r} is a network of torchvision whose first layers are not known "
            "here: choose a published one, such as resnet18"
        )
    undone = sum(size_px < limit for limit in (MADE_FOR_PX // 2, MADE_FOR_PX // 4))
    step = max(family.multiple_px >> undone, 1)
    seen_px = -(-max(size_px, family.least_px) // step) * step
    made_for_px = seen_px // step * family.multiple_px
    halved = ((), family.first, family.first + family.second)[undone]
    return Stem(seen_px, made_for_px, halved, family.options(made_for_px))


def fit_stem(network: nn.Module, stem: Stem) -> None:
    """Halve what the stem's layers shrink by; the weights of a convolution that is not replaced stay."""
    for name in stem.halved:
        network.set_submodule(name, halve(network.get_submodule(name)))
    patches = getattr(network, "conv_proj", None)
    if isinstance(patches, nn.Conv2d):  # a vision transformer checks what it sees
        transformer: Any = network
        transformer.patch_size = patches.kernel_size[0]
        transformer.image_size = stem.seen_px


def halve(layer: nn.Module) -> nn.Module:
    """Return a layer that shrinks half as much: a pool becomes nothing, patches halve, 7x7 with stride 1 is 3x3."""
    if not isinstance(layer, nn.Conv2d):
        return nn.Identity()
    kernel, shrinks = layer.kernel_size[0], layer.stride[0]
    stride = shrinks // 2
    is_patch = kernel == shrinks
    if not is_patch and (kernel <= 3 or stride > 1):
        layer.stride = (stride, stride)
        return layer
    kernel, padding = (stride, 0) if stride > 1 else (3, 1)
    has_bias = layer.bias is not None
    smaller = nn.Conv2d(layer.in_channels, layer.out_channels, kernel, stride, padding, bias=has_bias)
    nn.init.kaiming_normal_(smaller.weight, mode="fan_out")
    return smaller
