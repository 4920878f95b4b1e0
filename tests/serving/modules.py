"""TorchScript modules with the interface of a served one, good and bad."""

import torch
from torch import nn

CLASSES = 7
EMBEDDING = 8
WRONG = [1.0, 0, 0, 0, 0, 0, 0]
NAN = [float("nan")] * CLASSES


class WithoutPreprocess(nn.Module):
    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return batch


class Answering(nn.Module):
    """Answers every image alike."""

    def __init__(self, probabilities: list[float]) -> None:
        super().__init__()
        self.register_buffer("probabilities", torch.tensor(probabilities))

    @torch.jit.export
    def preprocess(self, image: torch.Tensor) -> torch.Tensor:
        return image[:1, :28, :28]

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.probabilities.expand(batch.size(0), -1), torch.zeros(batch.size(0), 8)


class Failing(Answering):
    """Fails at every image."""

    def __init__(self) -> None:
        super().__init__(WRONG)

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.probabilities.view(3, 3), batch


class Fussy(Answering):
    """Answers with the first pixel; NaN where that is 255, and nothing at all where it is 254."""

    def __init__(self) -> None:
        super().__init__(WRONG)

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = batch[:, 0, 0, 0].float()
        if bool((first == 254).any()):
            raise ValueError("254 is too much")
        first = torch.where(first == 255, torch.full_like(first, float("nan")), first)
        return first.unsqueeze(1).expand(-1, 7), torch.zeros(batch.size(0), 8)


class Convolutional(nn.Module):
    """What frozen networks are made of: convolution with normalisation, a residual, pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=4), nn.BatchNorm2d(16), nn.Hardswish())
        self.embed = nn.Linear(16, EMBEDDING)
        self.head = nn.Linear(EMBEDDING, CLASSES)

    @torch.jit.export
    def preprocess(self, image: torch.Tensor) -> torch.Tensor:
        return image[:1, :28, :28]

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.stem(batch.float() / 255)
        embedding = torch.tanh(9 * self.embed((features + self.block(features)).mean(dim=(2, 3))))
        return torch.softmax(4 * self.head(embedding), dim=1), embedding
