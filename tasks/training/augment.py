"""Augmentation of a block of images on its device, drawn for each from (seed, epoch, image index, repeat)."""

import functools
import math

import torch
from torch import Tensor

from tasks.errors import ConfigError
from tasks.training import transforms
from tasks.training.draws import Stream, draw_bits, stream_keys, to_fractions, to_integers
from tasks.training.spec import Recipe, TrainingSpec

STREAMS = {  # what each key of the recipe draws, where it is on
    "flip": (Stream.FLIP,),
    "shift_px": (Stream.SHIFT_Y, Stream.SHIFT_X),
    "rotate_degrees": (Stream.ANGLE,),
    "brightness": (Stream.BRIGHTNESS,),
    "contrast": (Stream.CONTRAST,),
    "erase_px": (Stream.ERASE_Y, Stream.ERASE_X),
}
Bits = dict[Stream, Tensor]  # (N,) int64 in [0, 2**63) of each stream
ANGLES = 4097  # that a rotation is drawn from, evenly spaced, the middle one being none


class Augmentation:
    """What one epoch does to its images: mirror, rotate and move, change brightness and contrast, erase."""

    def __init__(self, spec: TrainingSpec, epoch: int, device: torch.device) -> None:
        self.recipe, self.epoch = spec.recipe, epoch
        self.streams = [stream for key, streams in STREAMS.items() if getattr(self.recipe, key) for stream in streams]
        epochs = [0 if stream is Stream.FLIP else epoch for stream in self.streams]
        self.keys = stream_keys(spec.seed, epochs, self.streams, device)
        self.repeating = torch.tensor([[stream is not Stream.FLIP] for stream in self.streams]).to(device)  # (K, 1)
        self.turns = turn_table(self.recipe.rotate_degrees).to(device)

    def __call__(self, images: Tensor, rows: Tensor, repeats: Tensor | None = None) -> Tensor:
        """Return `images` (N, C, S, S) uint8, the images `rows` (N,), changed; `repeats` as in `draw_bits`."""
        if not self.streams:
            return images
        bits = self.draw(rows, repeats)
        if self.recipe.flip:
            images = transforms.mirror(images, self.is_mirrored(bits[Stream.FLIP], repeats))
        if self.recipe.rotate_degrees or self.recipe.shift_px:
            images = self.move(images, bits)
        if self.recipe.brightness or self.recipe.contrast:
            images = self.adjust(images, bits)
        if self.recipe.erase_px:
            images = self.erase(images, bits)
        return images

    def draw(self, rows: Tensor, repeats: Tensor | None) -> Bits:
        """Return the draws of each stream; a side is drawn once for all epochs and repeats."""
        counts = None if repeats is None else repeats * self.repeating
        return dict(zip(self.streams, draw_bits(self.keys, rows, counts), strict=True))

    def is_mirrored(self, bits: Tensor, repeats: Tensor | None) -> Tensor:
        """Return (N,) bool: the other side each time that an image comes, so that two epochs show both.

        Source: Jordan 2024, "94% on CIFAR-10 in 3.29 seconds", alternating flip.
        """
        times = self.epoch if repeats is None else self.epoch + repeats
        return (to_integers(bits, 2) + times) % 2 == 1

    def move(self, images: Tensor, bits: Bits) -> Tensor:
        """Rotate and shift, in one sampling; without rotation pixels are copied as they are."""
        margin = self.recipe.shift_px
        down, right = (
            to_integers(bits[stream], 2 * margin + 1) - margin if margin else images.new_zeros(1, dtype=torch.int64)
            for stream in STREAMS["shift_px"]
        )
        if not self.recipe.rotate_degrees:
            return transforms.shift(images, down, right, margin)
        cosine, sine = self.turns[to_integers(bits[Stream.ANGLE], ANGLES)].unbind(1)
        return transforms.turn(images, cosine, sine, down, right)

    def adjust(self, images: Tensor, bits: Bits) -> Tensor:
        """Change brightness and contrast by factors between 1 - their limit and 1 + it."""
        factors = [
            1 + limit * (2 * to_fractions(bits[stream]) - 1) if limit else torch.ones_like(images[:, 0, 0, 0]).double()
            for stream, limit in ((Stream.BRIGHTNESS, self.recipe.brightness), (Stream.CONTRAST, self.recipe.contrast))
        ]
        return transforms.adjust(images, *factors)

    def erase(self, images: Tensor, bits: Bits) -> Tensor:
        """Blank a square that lies within the image."""
        side = self.recipe.erase_px
        top, left = (to_integers(bits[stream], images.shape[2] - side + 1) for stream in STREAMS["erase_px"])
        return transforms.erase(images, top, left, side)


@functools.lru_cache(maxsize=1)
def turn_table(degrees: float) -> Tensor:
    """Return cosine and sine (ANGLES, 2) float32 of the angles from -degrees to degrees.

    A table, because a device's own functions differ in the last bit, also between the ends of a batch and its middle.
    """
    angles = [math.radians(degrees) * (2 * step / (ANGLES - 1) - 1) for step in range(ANGLES)]
    return torch.tensor([(math.cos(angle), math.sin(angle)) for angle in angles], dtype=torch.float64).float()


def check_augmentation(recipe: Recipe, size_px: int) -> None:
    """Check that something is left of an image.

    Raises:
        ConfigError: it may be moved or blanked as a whole.
    """
    for key in ("shift_px", "erase_px"):
        if getattr(recipe, key) >= size_px:
            raise ConfigError(
                f"training.{key} = {getattr(recipe, key)} leaves nothing of an image of model.size_px = {size_px}: "
                "lower it"
            )
