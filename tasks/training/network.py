"""Networks, and the module that is served: uint8 pixels in, probabilities and a small embedding out."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from serving.bundle.preprocess import Preprocess
from tasks.errors import ConfigError
from tasks.training import vision
from tasks.training.result import SPEC, WEIGHTS
from tasks.training.small_cnn import MOST_PATCHES, SmallCnn
from tasks.training.spec import TrainingSpec, read_spec

EMBEDDING_SIZE = 32


class Classifier(nn.Module):
    """What is trained: features and the linear layer over them. Its state is what the weights' SHA-256 covers."""

    __jit_ignored_attributes__ = ("not_loaded",)
    mean: Tensor
    scale: Tensor
    not_loaded: tuple[str, ...] = ()  # the tensors of the body that the file of initial weights did not fit

    def __init__(self, body: nn.Module, features: int, classes: int, channels: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(features, classes)
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("scale", torch.ones(1, channels, 1, 1))

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, K) and features (N, F) of a batch (N, C, H, W) uint8."""
        features = self.body(self.normalise(batch))
        return self.head(features), features

    def normalise(self, batch: Tensor) -> Tensor:
        """Return a batch (N, C, H, W) uint8 as floats of mean 0 and deviation 1."""
        return (batch.to(self.mean.dtype) - self.mean) * self.scale


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
    """Return a freshly initialised network for `spec`.

    Raises:
        ConfigError: there is no such architecture, or the file of initial weights does not fit it.
    """
    if spec.recipe.architecture == "small_cnn":
        if spec.recipe.weights_file:
            raise ConfigError(
                f"training.weights_file = {spec.recipe.weights_file!r} is for networks of torchvision, and "
                "training.architecture is 'small_cnn': leave it empty, or choose the network that it is of"
            )
        small = SmallCnn(spec.channels)
        return Classifier(small, small.features, len(spec.classes), spec.channels)
    body = vision.build(spec.recipe.architecture, spec.size_px, spec.recipe.weights_file)
    classifier = Classifier(body.network, body.features, len(spec.classes), spec.channels)
    classifier.not_loaded = body.not_loaded
    return classifier


@torch.no_grad()
def adapt_to(classifier: Classifier, sample: Tensor) -> None:
    """Start the first layer from training images `sample` (M, C, S, S) uint8, where the network asks for it.

    The classifier is on the CPU and knows the images' mean and scale. A network of torchvision stays as it is.
    """
    if isinstance(classifier.body, SmallCnn):
        every = -(-sample[:, 0].numel() // MOST_PATCHES)  # large images: every so many will do
        classifier.body.adapt_to(classifier.normalise(sample[::every]))


def load_eager(folder: Path) -> ServedModel:
    """Return the eager fp32 module of a finished training in `folder`, the reference for golden answers."""
    spec = read_spec(folder / SPEC)
    classifier = build_classifier(replace(spec, recipe=replace(spec.recipe, weights_file="")))
    classifier.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
    return ServedModel(classifier, spec.channels, spec.size_px).eval()
