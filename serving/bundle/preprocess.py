"""From an image of any size to what the network sees. Part of model.pt, so that no one re-implements it."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Preprocess(nn.Module):
    """Converts channels and size of one uint8 image; TorchScript-able and without weights.

    An image that has the right shape already comes back as it is. Otherwise: colour to grey by ITU-R BT.601
    luma, grey to colour by repetition, antialiased bilinear resize (both sides, the aspect is not kept), in
    float32 throughout, rounded once at the end.
    """

    def __init__(self, channels: int, size_px: int) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise ValueError(f"channels is {channels}; it must be 1 (grey) or 3 (colour)")
        self.channels = channels
        self.size_px = size_px

    def forward(self, image: Tensor) -> Tensor:
        """Return (channels, size_px, size_px) uint8 for an image (C, H, W) uint8, C in {1, 3}, any H and W."""
        found = image.size(0)
        if found != 1 and found != 3:  # noqa: PLR1714 - TorchScript has no "in" for a tuple of integers
            raise ValueError(f"the image has {found} channels; it must have 1 (grey) or 3 (colour)")
        is_sized = image.size(1) == self.size_px and image.size(2) == self.size_px
        if found == self.channels and is_sized:
            return image
        if found == 3 and self.channels == 1:  # luma, ITU-R BT.601-7 section 2.5.1; in place, for images may be large
            pixels = image[0:1].to(torch.float32).mul_(0.299)
            pixels = pixels.add_(image[1:2], alpha=0.587).add_(image[2:3], alpha=0.114)
        else:
            pixels = image.to(torch.float32)
        if not is_sized:
            size = [self.size_px, self.size_px]
            pixels = functional.interpolate(
                pixels.unsqueeze(0), size=size, mode="bilinear", align_corners=False, antialias=True
            ).squeeze(0)
        resized = pixels.round().clamp(0, 255).to(torch.uint8)
        return resized.expand(self.channels, -1, -1).contiguous()
