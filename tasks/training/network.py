"""Networks, and the module that is served: uint8 pixels in, probabilities and a small embedding out."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from serving.bundle.preprocess import Preprocess
from tasks.training import vision
from tasks.training.result import SPEC, WEIGHTS
from tasks.training.spec import TrainingSpec, read_spec

EMBEDDING_SIZE = 32
SMALL_WIDTHS = (24, 48, 96)  # 54k parameters; accuracy and time: benchmarks/RESULTS.md


class SmallCnn(nn.Module):
    """Three convolutions and a global maximum: any image size, 54k parameters for one channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second, third = SMALL_WIDTHS
        self.body = nn.Sequential(
            nn.Conv2d(channels, first, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(second),
            nn.ReLU(inplace=True),
            nn.Conv2d(second, third, 3, padding=1, bias=False),
            nn.BatchNorm2d(third),
            nn.ReLU(inplace=True),
        )
        self.features = third

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, features) of normalised images (N, C, H, W)."""
        return self.body(images).amax((2, 3))  # type: ignore[no-any-return]


class Colour(nn.Module):
    """A network for three channels that takes grey images too."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return features of images (N, 1 or 3, H, W)."""
        return self.network(images.expand(-1, 3, -1, -1))  # type: ignore[no-any-return]


class Classifier(nn.Module):
    """What is trained: features and the linear layer over them. Its state is what the weights' SHA-256 covers."""

    mean: Tensor
    scale: Tensor

    def __init__(self, body: nn.Module, features: int, classes: int, channels: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(features, classes)
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("scale", torch.ones(1, channels, 1, 1))

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, K) and features (N, F) of a batch (N, C, H, W) uint8."""
        features = self.body((batch.to(self.mean.dtype) - self.mean) * self.scale)
        return self.head(features), features


class ServedModel(nn.Module):
    """The module of a bundle: `preprocess(image)` per image, then `forward(batch)`."""

    temperature: Tensor
    projection: Tensor

    def __init__(self, classifier: Classifier, channels: int, size_px: int) -> None:
        super().__init__()
        self.classifier = classifier
        self.preprocessor = Preprocess(channels, size_px)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("projection", projection(classifier.head.in_features))

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (N, K) and embeddings (N, E), float32, of a batch (N, C, S, S) uint8."""
        logits, features = self.classifier(batch)
        return torch.softmax(logits.float() / self.temperature, 1), features.float() @ self.projection

    @torch.jit.export
    def preprocess(self, image: Tensor) -> Tensor:
        """Return (C, S, S) uint8 of an image (1 or 3, H, W) uint8 of any size."""
        pixels: Tensor = self.preprocessor(image)
        return pixels

    @torch.jit.export
    def set_temperature(self, value: float) -> None:
        """Set what the logits are divided by, so that confidence matches accuracy."""
        self.temperature.fill_(value)


def projection(features: int) -> Tensor:
    """Return (features, E) float32 that keeps distances: identity, or random signs where features are many.

    Source: Achlioptas 2003, "Database-friendly random projections".
    """
    if features <= EMBEDDING_SIZE:
        return torch.eye(features)
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (features, EMBEDDING_SIZE), generator=generator)
    scaled: Tensor = (signs * 2.0 - 1.0) / EMBEDDING_SIZE**0.5
    return scaled


def build_classifier(spec: TrainingSpec) -> Classifier:
    """Return a freshly initialised network for `spec`."""
    if spec.recipe.architecture == "small_cnn":
        small = SmallCnn(spec.channels)
        return Classifier(small, small.features, len(spec.classes), spec.channels)
    body, features = vision.build(spec.recipe.architecture, spec.recipe.weights_file)
    return Classifier(Colour(body), features, len(spec.classes), spec.channels)


def load_eager(folder: Path) -> ServedModel:
    """Return the eager fp32 module of a finished training in `folder`, the reference for golden answers."""
    spec = read_spec(folder / SPEC)
    classifier = build_classifier(replace(spec, recipe=replace(spec.recipe, weights_file="")))
    classifier.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
    return ServedModel(classifier, spec.channels, spec.size_px).eval()
