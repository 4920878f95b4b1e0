"""The built-in network: small, for small images, and needing nothing but torch."""

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH_PX = 3
PAIRS = {1: 9, 3: 12}  # of filters in the first layer: every pattern of a grey patch, 12 of a coloured one's 27
WIDTHS = (64, 128)  # with the first layer 86k parameters; accuracy and time: benchmarks/RESULTS.md
WHITENING_FLOOR = 5e-4  # added to each variance, in units of the images' own
MOST_PATCHES = 4_000_000  # that the covariance is taken over: 5,000 images of 28 x 28
PATCHES_AT_ONCE = 500_000  # 36 MB for each channel


class SmallCnn(nn.Module):
    """Three convolutions and a global maximum: any image size, 86k parameters for one channel.

    The first layer is not trained, once it has seen the images (`adapt_to`): nothing runs backwards through it, which
    leaves time for the next two to be wider.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, (second, third) = 2 * PAIRS[channels], WIDTHS
        self.body = nn.Sequential(
            nn.Conv2d(channels, first, PATCH_PX, padding=PATCH_PX // 2, bias=False),
            nn.MaxPool2d(2),
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

    @torch.no_grad()
    def adapt_to(self, images: Tensor) -> None:
        """Give the first convolution filters that whiten patches of normalised images (M, C, H, W), and freeze it.

        Each pattern comes with both signs, the most varied ones first.
        Source: Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", section 3.1.
        """
        layer: nn.Conv2d = self.body[0]  # type: ignore[assignment]
        filters = whitening_filters(images)[: layer.out_channels // 2]
        layer.weight.copy_(torch.cat([filters, -filters]))
        layer.requires_grad_(requires_grad=False)


def whitening_filters(images: Tensor) -> Tensor:
    """Return filters (9 C, C, 3, 3) float64 whose answers to patches of images (M, C, H, W) have variance 1."""
    channels, height, width = images.shape[1:]
    size = channels * PATCH_PX**2
    products = torch.zeros(size, size, dtype=torch.float64)
    for chunk in images.split(max(1, PATCHES_AT_ONCE // (height * width))):
        patches = functional.unfold(chunk.double(), PATCH_PX, padding=PATCH_PX // 2)  # (m, size, H * W)
        patches = patches.transpose(1, 2).reshape(-1, size)
        products += patches.t() @ patches
    variances, patterns = torch.linalg.eigh(products / (len(images) * height * width))  # patterns in columns
    filters: Tensor = patterns / (variances + WHITENING_FLOOR).sqrt()
    return filters.t().flip(0).reshape(size, channels, PATCH_PX, PATCH_PX)
