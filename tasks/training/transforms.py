"""What can be done to a batch of images (N, C, H, W) uint8, to each as its parameters (N,) say; uint8 comes out.

Each image is changed by itself: which others are in the batch, and how many, never matters to its bits.
"""

import torch
from torch import Tensor
from torch.nn import functional


def mirror(images: Tensor, is_mirrored: Tensor) -> Tensor:
    """Swap left and right where `is_mirrored` (N,) bool."""
    return torch.where(is_mirrored.view(-1, 1, 1, 1), images.flip(3), images)


def shift(images: Tensor, down: Tensor, right: Tensor, margin_px: int) -> Tensor:
    """Move by whole pixels (N,) int64 within -margin_px and margin_px, black coming in: pixels are copied."""
    height, width = images.shape[2:]
    padded = functional.pad(images, (margin_px,) * 4)  # (N, C, H + 2m, W + 2m)
    ys = torch.arange(margin_px, margin_px + height, device=images.device) - down.view(-1, 1)  # (N, H)
    xs = torch.arange(margin_px, margin_px + width, device=images.device) - right.view(-1, 1)  # (N, W)
    places = (ys.unsqueeze(2) * padded.shape[3] + xs.unsqueeze(1)).view(len(images), 1, -1)  # (N, 1, H * W)
    return padded.flatten(2).gather(2, places.expand(-1, images.shape[1], -1)).view(images.shape)


def is_within(places: Tensor, size: int) -> Tensor:
    """Return where 0 <= place < size."""
    return (places >= 0) & (places < size)


def turn(images: Tensor, cosine: Tensor, sine: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Rotate about the middle, clockwise, by (N,) float32 cosine and sine, then move by (N,) pixels; black comes in.

    Pixels are sampled once, bilinearly, in float32. Unlike its gradient, grid_sample itself is deterministic on
    every device, and without `align_corners` torch does not hand it to cuDNN.
    Source: the lists in torch.use_deterministic_algorithms' documentation; `grid_sampler` in
    aten/src/ATen/native/GridSampler.cpp.
    """
    height, width = images.shape[2:]
    ys = (torch.arange(height, device=images.device) - (height - 1) / 2 - down.view(-1, 1)).unsqueeze(2)  # (N, H, 1)
    xs = (torch.arange(width, device=images.device) - (width - 1) / 2 - right.view(-1, 1)).unsqueeze(1)  # (N, 1, W)
    cosine, sine = cosine.view(-1, 1, 1), sine.view(-1, 1, 1)
    from_y = (cosine * ys - sine * xs) * (2 / height)  # (N, H, W); -1 and 1 are the image's edges
    from_x = (cosine * xs + sine * ys) * (2 / width)
    places = torch.stack((from_x, from_y), 3)
    turned = functional.grid_sample(images.float(), places, padding_mode="zeros", align_corners=False)
    return turned.round_().to(torch.uint8)  # a mean of pixels: it is within 0 and 255


def adjust(images: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """Multiply by `brightness` (N,) float64, then the distance to the image's mean by `contrast`; clamp to 0..255.

    The mean is over all pixels and channels, a sum of integers, so that it is exact.
    """
    mean = images.flatten(1).sum(1).double() / images[0].numel()
    gain = (brightness * contrast).float().view(-1, 1, 1, 1)
    offset = ((1 - contrast) * brightness * mean).float().view(-1, 1, 1, 1)
    return images.float().mul_(gain).add_(offset).round_().clamp_(0, 255).to(torch.uint8)


def erase(images: Tensor, top: Tensor, left: Tensor, side_px: int) -> Tensor:
    """Make a square black, its first row and column at (N,) int64."""
    height, width = images.shape[2:]
    in_rows = is_within(torch.arange(height, device=images.device) - top.view(-1, 1), side_px)  # (N, H)
    in_columns = is_within(torch.arange(width, device=images.device) - left.view(-1, 1), side_px)  # (N, W)
    return images.masked_fill((in_rows.unsqueeze(2) & in_columns.unsqueeze(1)).unsqueeze(1), 0)
