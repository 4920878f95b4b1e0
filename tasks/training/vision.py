"""The one door to torchvision: it opens beside a CPU-only torch too, and hands out architectures by name.

torchvision's wheel is built against CUDA. Beside a CPU-only torch its compiled operators do not load, and
its import fails where it registers fake kernels for `nms` and `qnms`, unless those operators have schemas.
"""

import difflib
import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.errors import ConfigError
from tasks.training.initial_weights import load_weights
from tasks.training.pooling import replace_pools
from tasks.training.stem import fit_stem, plan_stem

BOX_OPERATORS = ("nms", "qnms")


@functools.cache
def import_models() -> ModuleType:
    """Import `torchvision.models`; where its operators do not load, give them schemas first.

    Raises:
        ConfigError: torchvision is not installed.
    """
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        raise ConfigError("torchvision is not installed: use training.architecture = 'small_cnn', or install it")
    if not operators_load(Path(found.origin).parent):
        define_schemas()
    import torchvision.models  # noqa: PLC0415  # only after the schemas stand

    return torchvision.models  # type: ignore[no-any-return]


def operators_load(package: Path) -> bool:
    """Tell whether torchvision's compiled operators load beside this torch."""
    try:
        for library in package.glob("_C*.so"):
            torch.ops.load_library(str(library))
    except OSError:
        return False
    return True


@functools.cache  # a Library that is collected takes its schemas along
def define_schemas() -> torch.library.Library:
    """Define the operators' schemas, which is all that torchvision's import asks for."""
    library = torch.library.Library("torchvision", "DEF")
    for name in BOX_OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


@dataclass(frozen=True)
class Body:
    """A classification network without its last layer, and what a file of weights left as it was initialised."""

    network: nn.Module
    features: int
    not_loaded: tuple[str, ...]


def build(architecture: str, size_px: int, weights_file: str) -> Body:
    """Return the body of a classification network of torchvision for images of `size_px`.

    Raises:
        ConfigError: the name is unknown, or the weights do not fit.
    """
    models = import_models()
    names = models.list_models(module=models)
    if architecture not in names:
        close = difflib.get_close_matches(architecture, ["small_cnn", *names], n=3, cutoff=0.4)
        raise ConfigError(
            f"training.architecture = {architecture!r} is unknown; near: {', '.join(close) or 'small_cnn, resnet18'}"
        )
    stem = plan_stem(architecture, size_px)
    network: nn.Module = models.get_model(architecture, weights=None, **stem.options)
    fit_stem(network, stem)
    replace_pools(network)
    features = remove_head(network)
    not_loaded = load_weights(network, Path(weights_file)) if weights_file else ()
    return Body(VisionBody(network, stem.seen_px), features, not_loaded)


class VisionBody(nn.Module):
    """A network for three channels and one size, that takes grey images and smaller ones too."""

    def __init__(self, network: nn.Module, seen_px: int) -> None:
        super().__init__()
        self.network = MainOutput(network) if hasattr(network, "aux_logits") else network
        self.seen_px = seen_px

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, F) of normalised images (N, 1 or 3, S, S)."""
        if images.size(2) != self.seen_px:  # enlarging has no deterministic gradient on CUDA, but images need none
            size = [self.seen_px, self.seen_px]
            images = functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
        return self.network(images.expand(-1, 3, -1, -1))  # type: ignore[no-any-return]


class MainOutput(nn.Module):
    """A network with auxiliary outputs (googlenet, inception), of which TorchScript would return them all."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the features alone."""
        features: Tensor = self.network._forward(images)[0]  # type: ignore[operator]
        return features


def remove_head(network: nn.Module) -> int:
    """Replace the layer that gives the classes' scores by nothing, and return how many features it takes."""
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    name, head = layers[-1]  # a convolution in squeezenet; the average that follows it is over features then
    network.set_submodule(name, nn.Identity())
    return head.in_features if isinstance(head, nn.Linear) else head.in_channels
