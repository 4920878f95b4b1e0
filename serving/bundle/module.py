"""The module of a bundle: TorchScript, made, loaded and optimised here alone.

torch 2.13 deprecates TorchScript in favour of `torch.export`; it is what takes images of any size and unpickles no
Python objects, so its warnings are silenced here and nowhere else.
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from serving.bundle.contract import BundleError


def script_module(module: nn.Module) -> torch.jit.ScriptModule:
    """Return a module compiled to TorchScript, which needs none of our code to run."""
    with _without_deprecation():
        scripted: torch.jit.ScriptModule = torch.jit.script(module)
    return scripted


def load_module(path: Path, device: str = "cpu") -> torch.jit.ScriptModule:
    """Return the module in the file at `path`, for inference on `device`.

    Raises:
        BundleError: it is no TorchScript module, or has no method `preprocess`.
    """
    try:
        with _without_deprecation():
            module: torch.jit.ScriptModule = torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"{path} is no TorchScript module for {device}: {str(error).splitlines()[0]}") from error
    if not hasattr(module, "preprocess"):
        raise BundleError(f"{path} has no method preprocess(image)")
    return module


def optimise_module(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Return the module with weights and temperature frozen as constants, and fused what can be fused.

    Raises:
        RuntimeError: TorchScript cannot freeze every module.
    """
    with _without_deprecation():
        frozen = torch.jit.freeze(module, preserved_attrs=["preprocess"])
        optimised: torch.jit.ScriptModule = torch.jit.optimize_for_inference(frozen, other_methods=["preprocess"])
    return optimised


@contextlib.contextmanager
def _without_deprecation() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.* is deprecated", category=DeprecationWarning)
        yield
