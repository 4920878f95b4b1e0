"""Making a subject: a network with random weights as a real bundle, by the project's own code. It imports torch."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.served.images import make_images, to_batch
from benchmarks.served.networks import CLASSES, build_network, count_parameters
from benchmarks.served.subjects import TOLERANCE, Made, Subject
from serving.bundle.contract import MODULE, REFERENCE, Contract, describe_file, write_contract
from serving.bundle.decode import Pixels
from serving.bundle.golden import write_golden
from serving.bundle.module import script_module
from serving.records import measure_images
from tasks.evaluation.finish import answer_images, vary_shape
from tasks.evaluation.reference import ReferencePredictions, write_reference
from tasks.training.network import EMBEDDING_SIZE

_SEED = 7
_GOLDEN_IMAGES = 16
_REFERENCE_ROWS = 16


def make(subject: Subject, folder: Path) -> Made:
    """Write the bundle of a subject as the new folder `folder`, by the project's own code."""
    folder.mkdir(parents=True)
    network = build_network(subject.architecture, channels=subject.channels, size_px=subject.size_px)
    script_module(network).save(str(folder / MODULE))
    images = make_images(_GOLDEN_IMAGES, channels=subject.channels, size_px=subject.size_px, seed=_SEED)
    varied = [vary_shape(image, number) for number, image in enumerate(images)]
    golden = write_golden(folder, varied, lambda image: answer_images(network, [image])[0])
    others = make_images(_REFERENCE_ROWS, channels=subject.channels, size_px=subject.size_px, seed=_SEED + 1)
    _write_reference(network, others, folder / REFERENCE)
    served = [describe_file(folder, path, is_served=True) for path in (MODULE, *golden)]
    contract = Contract(
        classes=CLASSES,
        channels=subject.channels,
        size_px=subject.size_px,
        embedding_size=EMBEDDING_SIZE,
        architecture=subject.architecture,
        weights_sha256=hash_weights(network),
        data_digest="0" * 64,  # of no data: nothing was trained
        temperature=1.0,
        tolerance=TOLERANCE,
        files=(*served, describe_file(folder, REFERENCE, is_served=False)),
    )
    write_contract(folder, contract)
    return Made(subject, folder, images[0], answer_images(network, [images[0]])[0], count_parameters(network))


def hash_weights(network: nn.Module) -> str:
    """Return a SHA-256 of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _write_reference(network: nn.Module, images: list[Pixels], path: Path) -> None:
    with torch.inference_mode():
        probabilities, embeddings = network(torch.from_numpy(to_batch(images)))
    labels = np.asarray(CLASSES)[np.arange(len(images)) % len(CLASSES)]
    ids = np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images])
    predictions = ReferencePredictions(ids, labels, probabilities.numpy(), embeddings.numpy())
    write_reference(path, predictions, measure_images(np.stack(images)), CLASSES)
