"""The one door to torchvision: it opens beside a CPU-only torch too, and hands out architectures by name.

torchvision's wheel is built against CUDA. Beside a CPU-only torch its compiled operators do not load, and
its import fails where it registers fake kernels for `nms` and `qnms`, unless those operators have schemas.
"""

import difflib
import functools
import importlib.util
import pickle
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from tasks.errors import ConfigError

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


def build(architecture: str, weights_file: str) -> tuple[nn.Module, int]:
    """Return a classification network of torchvision without its last layer, and its number of features.

    Raises:
        ConfigError: the name is unknown, the network does not end in a linear layer, or the weights do not fit.
    """
    models = import_models()
    names = models.list_models(module=models)
    if architecture not in names:
        close = difflib.get_close_matches(architecture, ["small_cnn", *names], n=3, cutoff=0.4)
        raise ConfigError(
            f"training.architecture = {architecture!r} is unknown; near: {', '.join(close) or 'small_cnn, resnet18'}"
        )
    options = {"aux_logits": False, "init_weights": True} if architecture in {"googlenet", "inception_v3"} else {}
    network: nn.Module = models.get_model(architecture, weights=None, **options)
    head = last_linear(network, architecture)
    features: int = network.get_submodule(head).in_features  # type: ignore[assignment]
    network.set_submodule(head, nn.Identity())
    if weights_file:
        load_weights(network, Path(weights_file), head)
    return network, features


def last_linear(network: nn.Module, architecture: str) -> str:
    """Return the name of the layer that gives the classes' scores."""
    leaves = [(name, layer) for name, layer in network.named_modules() if not list(layer.children())]
    linear: list[str] = [name for name, layer in leaves if isinstance(layer, nn.Linear)]
    if not linear:
        raise ConfigError(f"training.architecture = {architecture!r} does not end in a linear layer: choose another")
    return linear[-1]


def load_weights(network: nn.Module, path: Path, head: str) -> None:
    """Load a state dict saved by torch; the last layer's weights in it are left out.

    Raises:
        ConfigError: the file cannot be read, holds something else, or does not fit.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ConfigError(f"training.weights_file = {str(path)!r} cannot be read: {first_line(error)}") from error
    if not isinstance(state, dict):
        raise ConfigError(
            f"training.weights_file = {str(path)!r} holds a {type(state).__name__}, expected a state dict: "
            "save it with torch.save(network.state_dict(), path)"
        )
    body = {name: value for name, value in state.items() if not name.startswith(f"{head}.")}
    try:
        network.load_state_dict(body)
    except RuntimeError as error:
        raise ConfigError(f"training.weights_file = {str(path)!r} does not fit the network: {error}") from error


def first_line(error: Exception) -> str:
    """Return what an error of torch says before its advice."""
    return next(iter(str(error).splitlines()), type(error).__name__)
