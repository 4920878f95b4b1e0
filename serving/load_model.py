"""From a bundle on the disk to a proven model: files checked, module chosen, warmed up, golden answers right."""

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.jit import ScriptModule

from serving.bundle.contract import MODULE, BundleError, bundle_digest, read_contract, verify_files
from serving.bundle.decode import Pixels
from serving.bundle.golden import check_listed, read_golden
from serving.bundle.module import load_module, optimise_module
from serving.inputs import to_tensor
from serving.model import MAX_BATCH, Model
from serving.warm_up import Clock, find_batch, seconds_of

logger = logging.getLogger(__name__)

_MAY_BE_SLOWER = 1.05  # times; less is noise
_COMPARED = (1, 8)  # images: a lone request, and a batch


def load_model(folder: Path, *, threads: int, max_batch: int = MAX_BATCH, device: str = "cpu") -> Model:
    """Load a bundle's module, warm it up and check its golden answers.

    The module is optimised for inference; where that fails, changes an answer by more than the contract's tolerance,
    or is slower, it is served as it is. `threads` is torch's, for the whole process.

    Raises:
        BundleError: an incomplete or altered bundle, a module that does not do what the contract says, or golden
            answers that differ or are not in the contract.
    """
    contract = read_contract(folder)
    verify_files(folder, contract, served_only=True)
    check_listed(folder, contract)
    torch.set_num_threads(threads)
    make = partial(
        Model,
        contract=contract,
        digest=bundle_digest(folder),
        golden=read_golden(folder),
        device=device,
        batch=max_batch,
    )
    model = choose(lambda prepare: make(prepare(load_module(folder / MODULE, device))), folder)
    image = _fitting_image(model)
    model.batch = find_batch(lambda size: model.predict([image] * size), max_batch, _clock_of(model))
    return model


def choose(make: Callable[[Callable[[ScriptModule], ScriptModule]], Model], folder: Path) -> Model:
    """Return the bundle's model optimised for inference, or as it is where that is better; proven either way.

    `make` makes a model of the module that a function makes of the bundle's own.
    """
    plain = make(lambda module: module)
    try:
        optimised = make(optimise_module)
        prove(optimised, folder)
        if not is_slower(optimised, plain):
            return optimised
        reason = "it is slower"
    except (BundleError, RuntimeError, torch.jit.Error) as error:  # TorchScript cannot freeze every module
        reason = str(error)
    logger.warning("serving the module as it is: optimised for inference, %s", reason)
    prove(plain, folder)
    return plain


def prove(model: Model, folder: Path) -> None:
    """Compare a model's shapes with the contract, and its answers with the golden ones.

    Where the module's preprocessing leaves images of the network's own shape as they are, the model takes them so.

    Raises:
        BundleError: they differ, or there is no answer.
    """
    contract, file = model.contract, folder / MODULE
    side = contract.size_px
    probe = np.zeros((side + 1, side, 3), dtype=np.uint8)
    try:
        with torch.inference_mode():
            prepared = model.preprocess(probe)
            answer = model.answer(torch.stack([prepared] * 2))
        shapes = (tuple(prepared.shape), answer.probabilities.shape, answer.embeddings.shape)
        expected = ((contract.channels, side, side), (2, len(contract.classes)), (2, contract.embedding_size))
        if shapes != expected:
            raise BundleError(
                f"{file} gives image, probabilities and embeddings of two images the shapes {shapes}; "
                f"the contract says {expected}"
            )
        model.is_fast = _leaves_alone(model)
        model.check()
    except (RuntimeError, TypeError, ValueError, torch.jit.Error) as error:
        raise BundleError(f"{file} cannot answer: {error}") from error


def is_slower(model: Model, other: Model) -> bool:
    """Measure whether a model takes longer than another for the same images, alone or several at once."""
    contract = model.contract
    for size in _COMPARED:
        batch = torch.zeros((size, contract.channels, contract.size_px, contract.size_px), dtype=torch.uint8)
        with torch.inference_mode():
            seconds, other_s = seconds_of([partial(each.answer, batch) for each in (model, other)], _clock_of(model))
        if seconds > _MAY_BE_SLOWER * other_s:
            return True
    return False


def _clock_of(model: Model) -> Clock:
    """Return the clock that tells how long a model takes, whatever else the machine does meanwhile."""
    return time.thread_time if model.device == "cpu" else time.perf_counter


def _leaves_alone(model: Model) -> bool:
    """Whether preprocessing returns images of the network's own shape unchanged: noise, black and white."""
    black = _fitting_image(model)
    noise = np.random.default_rng(0).integers(0, 256, black.shape, dtype=np.uint8)
    with torch.inference_mode():
        return all(
            torch.equal(model.preprocess(image), to_tensor(image)) for image in (noise, black, np.full_like(black, 255))
        )


def _fitting_image(model: Model) -> Pixels:
    """Return a black image (S, S) or (S, S, 3), which has the network's own shape."""
    contract = model.contract
    sides = (contract.size_px, contract.size_px)
    return np.zeros(sides if contract.channels == 1 else (*sides, contract.channels), dtype=np.uint8)
