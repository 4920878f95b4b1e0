"""Draws augmentations.png: what each key of the recipe does to one image in eight epochs, by the code that trains.

python docs/images/draw_augmentations.py
"""

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw

from tasks.settings import load_settings
from tasks.training.augment import Augmentation
from tasks.training.spec import Execution, Recipe, TrainingSpec

ROOT = Path(__file__).parents[2]
PICTURE = Path(__file__).with_name("augmentations.png")
PHOTO = ROOT / "tests" / "assets" / "fashion" / "ankle-boot" / "00000.png"
ROWS = (  # the keys that a row of the picture switches on
    {},
    {"flip": True},
    {"shift_px": 3},
    {"rotate_degrees": 15.0},
    {"brightness": 0.4},
    {"contrast": 0.5},
    {"erase_px": 10},
    {"flip": True, "shift_px": 3, "rotate_degrees": 15.0, "brightness": 0.4, "contrast": 0.5, "erase_px": 10},
)
EPOCHS = 8
SCALE = 2
MARGIN_PX = 120  # left, for the names
HEAD_PX = 16  # above, for the epochs
GAP_PX = 4
WHITE = 255

Pixels = npt.NDArray[np.uint8]


def draw_tiles() -> Pixels:
    """Return (rows, epochs, H, W) uint8: the photo as each row's keys make it in each epoch."""
    photo = torch.from_numpy(np.asarray(Image.open(PHOTO).convert("L")).copy())[None, None]
    rows = [torch.cat([augmented(photo, keys, epoch) for epoch in range(EPOCHS)]) for keys in ROWS]
    tiles: Pixels = torch.stack(rows)[:, :, 0].numpy()
    return tiles


def augmented(photo: torch.Tensor, keys: dict[str, float], epoch: int) -> torch.Tensor:
    """Return the photo (1, 1, H, W) as training with these keys alone sees it in an epoch."""
    spec = spec_with(keys, photo.shape[-1])
    return Augmentation(spec, epoch, photo.device)(photo, torch.zeros(1, dtype=torch.int64))


def spec_with(keys: dict[str, float], size_px: int) -> TrainingSpec:
    """Return the shipped training with all augmentation off but `keys`."""
    values = load_settings(ROOT / "evergreen.toml").training.model_dump()
    recipe = Recipe(**{field.name: values[field.name] for field in dataclasses.fields(Recipe)})
    off = {name: type(getattr(recipe, name))(0) for row in ROWS for name in row}
    execution = Execution(**{field.name: values[field.name] for field in dataclasses.fields(Execution)})
    return TrainingSpec(
        pixels="",
        data_digest="",
        classes=(),
        channels=1,
        size_px=size_px,
        recipe=dataclasses.replace(recipe, **{**off, **keys}),
        seed=1,
        threads=1,
        device="cpu",
        execution=execution,
    )


def paste(tiles: Pixels) -> Image.Image:
    """Return the tiles as one picture, each row with the names of its keys."""
    size = tiles.shape[2] * SCALE
    step = size + GAP_PX
    picture = Image.new("L", (MARGIN_PX + EPOCHS * step, HEAD_PX + len(ROWS) * step), WHITE)
    write = ImageDraw.Draw(picture)
    for epoch in range(EPOCHS):
        write.text((MARGIN_PX + epoch * step, 0), f"epoch {epoch + 1}", fill=0)
    for row, keys in enumerate(ROWS):
        name = "all of them" if len(keys) > 1 else "".join(f"{key} = {text(value)}" for key, value in keys.items())
        write.text((0, HEAD_PX + row * step + size // 2), name or "as it is", fill=0, anchor="lm")
        for epoch, tile in enumerate(tiles[row]):
            enlarged = Image.fromarray(tile).resize((size, size), Image.Resampling.NEAREST)
            picture.paste(enlarged, (MARGIN_PX + epoch * step, HEAD_PX + row * step))
    return picture


def text(value: float) -> str:
    """Return a value as evergreen.toml spells it."""
    return str(value).lower()


if __name__ == "__main__":
    paste(draw_tiles()).save(PICTURE, optimize=True)
