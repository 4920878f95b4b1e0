"""The networks that are served, with random weights of a fixed seed: kept, so that figures stay comparable."""

import torch
from torch import Tensor, nn

from benchmarks.served.images import make_images, to_batch
from serving.bundle.preprocess import Preprocess
from tasks.training.network import EMBEDDING_SIZE, Classifier, ServedModel
from tasks.training.vision import build

CLASSES = tuple(f"class {number}" for number in range(10))

_SEED = 20261121
_DEVIATION = 2.0  # of a class's score from image to image: a wrong answer is seen
_SETTLING = (2, 16)  # batches, and images in each, that normalisations and scores take their statistics from
_GREY = 127.5  # of pixels 0 to 255: their middle, and half of their range


class Cnn(nn.Module):
    """Four convolutions and a global mean; with a head for ten classes 242,250 parameters for one channel."""

    features = 128

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(channels, 32),
            *_block(32, 64),
            nn.MaxPool2d(2),
            *_block(64, 128),
            *_block(128, self.features),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, features) of normalised images (N, C, H, W)."""
        return self.body(images).mean((2, 3))  # type: ignore[no-any-return]


class Constant(nn.Module):
    """Answers every image alike, and at once: what is left of a server's time is its own."""

    answer: Tensor
    embedding: Tensor

    def __init__(self, channels: int, size_px: int) -> None:
        super().__init__()
        self.preprocessor = Preprocess(channels, size_px)
        self.register_buffer("answer", torch.softmax(torch.arange(float(len(CLASSES))), 0).unsqueeze(0))
        self.register_buffer("embedding", torch.zeros(1, EMBEDDING_SIZE))

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same probabilities (N, K) and embeddings (N, E) for any batch."""
        size = batch.size(0)
        return self.answer.expand(size, -1), self.embedding.expand(size, -1)

    @torch.jit.export
    def preprocess(self, image: Tensor) -> Tensor:
        """Return (C, S, S) uint8 of an image (1 or 3, H, W) uint8 of any size."""
        pixels: Tensor = self.preprocessor(image)
        return pixels


def build_network(architecture: str, *, channels: int, size_px: int) -> nn.Module:
    """Return the module that is served: "constant", "cnn", or the project's form of a network of torchvision."""
    torch.manual_seed(_SEED)
    if architecture == "constant":
        return Constant(channels, size_px).eval()
    if architecture == "cnn":
        body: nn.Module = Cnn(channels)
        features = Cnn.features
    else:
        found = build(architecture, size_px, "")
        body, features = found.network, found.features
    classifier = Classifier(body, features, len(CLASSES), channels)
    with torch.no_grad():
        classifier.mean.fill_(_GREY)
        classifier.scale.fill_(1 / _GREY)
    _settle(classifier, channels, size_px)
    return ServedModel(classifier, channels, size_px).eval()


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers a training would fit."""
    return sum(parameter.numel() for parameter in network.parameters())


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


@torch.no_grad()
def _settle(classifier: Classifier, channels: int, size_px: int) -> None:
    """Give the normalisations and the head what a training would: statistics of images, and scores that differ."""
    for layer in classifier.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the mean over all batches
    number, size = _SETTLING
    images = torch.from_numpy(to_batch(make_images(number * size, channels=channels, size_px=size_px, seed=_SEED)))
    classifier.train()
    for batch in images.split(size):
        classifier(batch)
    classifier.eval()
    scores = torch.cat([classifier(batch)[0] for batch in images.split(size)])
    scale = _DEVIATION / scores.std(0, keepdim=True).T
    classifier.head.bias.sub_(scores.mean(0)).mul_(scale[:, 0])
    classifier.head.weight.mul_(scale)
