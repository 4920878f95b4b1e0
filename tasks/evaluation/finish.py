"""From a trained model to a complete bundle: temperature, golden answers, reference, and the contract last.

Everything is written into a draft beside the bundle's folder and renamed: a killed step leaves no half bundle.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from serving.bundle.contract import MODULE, REFERENCE, BundleError, Contract, describe_file, write_contract
from serving.bundle.decode import Pixels
from serving.bundle.golden import check_golden, write_golden
from serving.bundle.module import load_module
from tasks.data.dataset import PixelMap, Split
from tasks.data.pixels import PixelArrays, open_pixels
from tasks.errors import TrainingError
from tasks.evaluation.bundle import Bundle
from tasks.evaluation.reference import ReferencePredictions, choose_rows, write_reference
from tasks.evaluation.scores import answer_batches
from tasks.evaluation.temperature import fit_temperature
from tasks.training.network import load_eager
from tasks.training.result import TrainedModel

GOLDEN_INPUTS = 16  # 4 kinds of file (raw, PNG, raw, JPEG) times 4 shapes


def finish_bundle(
    trained: TrainedModel, pixels: PixelMap, *, folder: Path, data_digest: str, tolerance: float
) -> Bundle:
    """Make the bundle of a trained model as the new folder `folder`, and return it.

    `tolerance` is how far any probability may be from the golden answer.

    Raises:
        TrainingError: `folder` is there already, other classes than the data's, no validation images, a parameter
            or probability that is not finite, or a TorchScript module that answers otherwise than the eager one.
    """
    if folder.exists():
        raise TrainingError(f"{folder} is there already, and a bundle is never replaced: remove it, or train anew")
    if pixels.classes != trained.classes:
        raise TrainingError(
            f"the model knows {trained.classes}, the data has {pixels.classes}: train again on this data"
        )
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)  # a killed step's
    draft.mkdir(parents=True)
    validation = open_pixels(pixels, Split.VALIDATION)
    temperature = _write_module(trained.folder / MODULE, validation, draft / MODULE)
    golden = _write_golden(trained.folder, validation, temperature, draft)
    module = load_module(draft / MODULE)
    _check_answers(module, draft, tolerance)
    _write_reference(module, validation, trained.classes, draft / REFERENCE)
    served = [describe_file(draft, path, is_served=True) for path in (MODULE, *golden)]
    contract = Contract(
        classes=trained.classes,
        channels=trained.channels,
        size_px=trained.size_px,
        embedding_size=trained.embedding_size,
        architecture=trained.architecture,
        weights_sha256=trained.weights_sha256,
        data_digest=data_digest,
        temperature=temperature,
        tolerance=tolerance,
        files=(*served, describe_file(draft, REFERENCE, is_served=False)),
    )
    digest = write_contract(draft, contract)
    draft.rename(folder)
    return Bundle(folder, contract, digest)


def _write_module(trained: Path, validation: PixelArrays, module_path: Path) -> float:
    """Write the trained module with the temperature that suits the validation images, and return it."""
    module = load_module(trained)
    _check_tensors(module)
    probabilities, _ = answer_batches(module, validation.images)
    bad = int(np.count_nonzero(~np.isfinite(probabilities).all(axis=1)))
    if bad:
        raise TrainingError(
            f"{bad} of {len(probabilities)} validation images get probabilities that are not finite: train again with"
            " another seed or a lower training.learning_rate"
        )
    temperature = fit_temperature(validation.labels, probabilities)
    module.set_temperature(temperature)
    module.save(str(module_path))
    return temperature


def _check_tensors(module: torch.jit.ScriptModule) -> None:
    for name, tensor in module.state_dict().items():
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            raise TrainingError(
                f"{bad} of {tensor.numel()} numbers in {name} are not finite: train again with another seed or a lower"
                " training.learning_rate"
            )


def _write_golden(trained: Path, validation: PixelArrays, temperature: float, draft: Path) -> list[str]:
    """Write golden inputs with the answers of the eager fp32 model and return the files' paths."""
    network = load_eager(trained)
    network.set_temperature(temperature)
    rows = choose_rows(len(validation.images), limit=GOLDEN_INPUTS)
    images = [vary_shape(to_image(validation.images[row]), number) for number, row in enumerate(rows)]
    return write_golden(draft, images, lambda image: answer_images(network, [image])[0])


def to_image(pixels: NDArray[np.uint8]) -> Pixels:
    """Return (C, H, W) pixels as an image, (H, W) or (H, W, 3)."""
    return np.ascontiguousarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


def vary_shape(image: Pixels, number: int) -> Pixels:
    """Return a golden input in one of the four shapes that preprocessing tells apart.

    As it is, twice as large, not square, grey for colour or colour for grey; over 16 numbers each shape meets
    each of the four kinds of file.
    """
    shape = (number + number // 4) % 4
    if shape == 1:
        return image.repeat(2, axis=0).repeat(2, axis=1)
    if shape == 2:
        return np.ascontiguousarray(image[:, image.shape[1] // 8 :])
    if shape == 3:
        return np.stack([image] * 3, axis=2) if image.ndim == 2 else np.ascontiguousarray(image[:, :, 1])
    return image


def answer_images(network: nn.Module, images: list[Pixels]) -> NDArray[np.float32]:
    """Return the probabilities (N, K) of images of any size, preprocessed as a server does it."""
    planes = [image[:, :, None] if image.ndim == 2 else image for image in images]
    preprocess = cast("Callable[[torch.Tensor], torch.Tensor]", network.preprocess)
    with torch.inference_mode():
        batch = [preprocess(torch.from_numpy(plane.transpose(2, 0, 1).copy())) for plane in planes]
        probabilities, _ = network(torch.stack(batch))
    return np.asarray(probabilities.numpy(), dtype=np.float32)


def _check_answers(module: torch.jit.ScriptModule, draft: Path, tolerance: float) -> None:
    try:
        check_golden(draft, lambda images: answer_images(module, images), tolerance)
    except BundleError as error:
        raise TrainingError(f"the TorchScript module answers otherwise than the eager model: {error}") from error


def _write_reference(
    module: torch.jit.ScriptModule, validation: PixelArrays, classes: tuple[str, ...], path: Path
) -> None:
    rows = choose_rows(len(validation.images))
    probabilities, embeddings = answer_batches(module, validation.images[rows])
    labels = np.asarray(classes, dtype=np.str_)[validation.labels[rows]]
    predictions = ReferencePredictions(validation.ids[rows].astype(np.str_), labels, probabilities, embeddings)
    write_reference(path, predictions, validation.statistics[rows], classes)
