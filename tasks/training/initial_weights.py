"""Initial weights from a local file: what fits is loaded, and what does not is told."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tasks.errors import ConfigError

LEAST_SHARE = 0.5  # of the network's numbers: below it, the file is another network's
COUNTERS = "num_batches_tracked"  # of batch normalisation: old files have none, and nothing reads it
OURS = re.compile(r"^body\.network\.(network\.)?")  # in the weights.pt of an earlier training
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)")  # norm.1 in published files, norm1 since


def load_weights(network: nn.Module, path: Path) -> tuple[str, ...]:
    """Load the tensors of the state dict at `path` that have the network's names and shapes; return what is left.

    Raises:
        ConfigError: the file cannot be read, holds something else, or fits less than half of the network.
    """
    state = {torchvision_name(name): value for name, value in read_state(path).items()}
    wanted = {name: value for name, value in network.state_dict().items() if not name.endswith(COUNTERS)}
    fitting = {name: state[name] for name, value in wanted.items() if fits(state.get(name), value)}
    loaded, size = numbers(fitting), numbers(wanted)
    if loaded < LEAST_SHARE * size:
        raise ConfigError(
            f"training.weights_file = {str(path)!r} does not fit the network: {len(fitting)} of its {len(wanted)} "
            f"tensors have the name and shape of one in the file; {difference(wanted, state)}; "
            "choose the architecture that the file is for"
        )
    with torch.no_grad():
        for name, value in fitting.items():
            wanted[name].copy_(value)
    return tuple(name for name in wanted if name not in fitting)


def read_state(path: Path) -> dict[str, Any]:
    """Return the state dict in the file at `path`.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ConfigError(f"training.weights_file = {str(path)!r} cannot be read: {first_line(error)}") from error
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ConfigError(
            f"training.weights_file = {str(path)!r} holds a {type(state).__name__}, expected a state dict: "
            "save it with torch.save(network.state_dict(), path)"
        )
    return state


def torchvision_name(name: str) -> str:
    """Return how torchvision calls a tensor today."""
    return OLD_DENSENET.sub(r"\1", OURS.sub("", name))


def fits(found: Any, wanted: Tensor) -> bool:
    """Tell whether what the file holds can be copied into the network's tensor."""
    return isinstance(found, Tensor) and found.shape == wanted.shape


def numbers(tensors: Mapping[str, Tensor]) -> int:
    """Return how many numbers the tensors hold."""
    return sum(tensor.numel() for tensor in tensors.values())


def difference(wanted: Mapping[str, Tensor], state: Mapping[str, Any]) -> str:
    """Return the first difference between the network and the file, in words."""
    name, value = next((name, value) for name, value in wanted.items() if not fits(state.get(name), value))
    found = state.get(name)
    shape = f"{tuple(found.shape)}" if isinstance(found, Tensor) else "missing"
    return f"{name} is {tuple(value.shape)} in the network and {shape} in the file"


def first_line(error: Exception) -> str:
    """Return what an error of torch says before its advice."""
    return next(iter(str(error).splitlines()), type(error).__name__)
