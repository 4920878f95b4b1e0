"""A complete bundle with a tiny random model, for every test that needs a server or a registry but no training."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from serving.bundle.contract import MODULE, REFERENCE, Contract, describe_file, write_contract
from serving.bundle.decode import Pixels
from serving.bundle.golden import write_golden
from serving.bundle.module import script_module
from serving.bundle.preprocess import Preprocess
from serving.records import measure_images
from tasks.evaluation.reference import ReferencePredictions, write_reference

EMBEDDING_SIZE = 8
TOLERANCE = 0.0005
REFERENCE_ROWS = 20
_GOLDEN_IMAGES = 8


class TinyNetwork(nn.Module):
    """Two linear layers with the interface that every served module has."""

    temperature: Tensor

    def __init__(self, classes: int, channels: int, size_px: int) -> None:
        super().__init__()
        self.preprocessing = Preprocess(channels, size_px)
        self.embed = nn.Linear(channels * size_px * size_px, EMBEDDING_SIZE)
        self.head = nn.Linear(EMBEDDING_SIZE, classes)
        self.register_buffer("temperature", torch.ones(()))

    @torch.jit.export
    def preprocess(self, image: Tensor) -> Tensor:
        return self.preprocessing(image)

    @torch.jit.export
    def set_temperature(self, value: float) -> None:
        self.temperature.fill_(value)

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        embedding = torch.tanh(self.embed(batch.to(torch.float32).flatten(1) / 255))
        return torch.softmax(4 * self.head(embedding) / self.temperature, dim=1), embedding


def make_images(count: int, *, seed: int, size_px: int = 28, channels: int = 1) -> list[Pixels]:
    """Return `count` random smooth images, (H, W) or (H, W, 3) uint8."""
    generator = np.random.default_rng(seed)
    shape = (size_px, size_px) if channels == 1 else (size_px, size_px, channels)
    waves = np.add.outer(np.arange(size_px), np.arange(size_px))
    waves = waves if channels == 1 else waves[:, :, None]
    phases = generator.uniform(0, 10, size=(count, *shape[2:]))
    noise = generator.normal(0, 8, size=(count, *shape))
    return [(127 + 100 * np.sin(waves / 5 + phases[i]) + noise[i]).clip(0, 255).astype(np.uint8) for i in range(count)]


def make_tiny_bundle(
    folder: Path,
    *,
    seed: int = 0,
    classes: Sequence[str] = ("ankle boot", "bag", "coat"),
    channels: int = 1,
    size_px: int = 28,
) -> Path:
    """Write a valid bundle into `folder` and return it; another seed gives other weights."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    network = TinyNetwork(len(classes), channels, size_px).eval()
    script_module(network).save(str(folder / MODULE))

    def answer(image: Pixels) -> tuple[np.ndarray, np.ndarray]:
        pixels = torch.from_numpy(image).unsqueeze(-1) if image.ndim == 2 else torch.from_numpy(image)
        with torch.inference_mode():
            probabilities, embeddings = network(network.preprocess(pixels.permute(2, 0, 1)).unsqueeze(0))
        return probabilities[0].numpy(), embeddings[0].numpy()

    images = make_images(_GOLDEN_IMAGES, seed=seed, size_px=size_px, channels=channels)
    golden = write_golden(folder, images, lambda image: answer(image)[0])
    _write_reference(
        folder, classes, answer, make_images(REFERENCE_ROWS, seed=seed + 1, size_px=size_px, channels=channels)
    )
    served = [describe_file(folder, path, is_served=True) for path in (MODULE, *golden)]
    write_contract(
        folder,
        Contract(
            classes=tuple(classes),
            channels=channels,
            size_px=size_px,
            embedding_size=EMBEDDING_SIZE,
            architecture="tiny",
            weights_sha256=hashlib.sha256(network.embed.weight.detach().numpy().tobytes()).hexdigest(),
            data_digest="d" * 64,
            temperature=1.0,
            tolerance=TOLERANCE,
            files=(*served, describe_file(folder, REFERENCE, is_served=False)),
        ),
    )
    return folder


def _write_reference(folder: Path, classes: Sequence[str], answer, images: list[Pixels]) -> None:
    answers = [answer(image) for image in images]
    predictions = ReferencePredictions(
        ids=np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images]),
        labels=np.array([classes[number % len(classes)] for number in range(len(images))]),
        probabilities=np.stack([probabilities for probabilities, _ in answers]),
        embeddings=np.stack([embedding for _, embedding in answers]),
    )
    write_reference(folder / REFERENCE, predictions, measure_images(np.stack(images)), classes)
