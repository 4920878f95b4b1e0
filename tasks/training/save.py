"""What a training leaves on the disk: the weights, the module that is served, or a word about why it could not."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from serving.bundle.durable import replacing
from serving.bundle.module import script_module
from tasks.errors import TrainingError
from tasks.training.network import Classifier, ServedModel
from tasks.training.result import MODULE, WEIGHTS
from tasks.training.spec import TrainingSpec


@contextlib.contextmanager
def telling_a_full_disk(out: Path) -> Iterator[None]:
    """Raise TrainingError where the block cannot read or write its files in `out`."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{out} does not take the training's files: {error.strerror or error}; the last checkpoint there is kept: "
            "make room, and start it again"
        ) from error


def save(classifier: Classifier, spec: TrainingSpec, out: Path) -> ServedModel:
    """Write weights.pt and model.pt (TorchScript, fp32, on the CPU) durably, and return the eager module.

    Raises:
        OSError: one could not be written.
    """
    classifier = classifier.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    served = ServedModel(classifier, spec.channels, spec.size_px).eval()
    scripted = script_module(served)
    with replacing(out / WEIGHTS) as draft:
        draft.write_bytes(saved(classifier.state_dict()))
    with replacing(out / MODULE) as draft:
        draft.write_bytes(scripted.save_to_buffer())
    return served


def saved(values: Any) -> bytes:
    """Return what `torch.save` makes of `values`; written by us, so that a full disk is told as such."""
    buffer = io.BytesIO()
    torch.save(values, buffer)
    return buffer.getvalue()
