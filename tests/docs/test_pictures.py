"""The picture of the augmentations is what the code that trains makes of the image."""

import importlib.util

import numpy as np
from PIL import Image

from tests.docs.pages import ROOT

SCRIPT = ROOT / "docs" / "images" / "draw_augmentations.py"


def test_the_picture_is_what_the_code_draws():
    spec = importlib.util.spec_from_file_location("draw_augmentations", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    tiles = script.draw_tiles().astype(int)
    assert len(np.unique(tiles.reshape(-1, *tiles.shape[2:]), axis=0)) > tiles.shape[1] * (len(tiles) - 2) * 0.8
    shown = np.asarray(Image.open(script.PICTURE)).astype(int)
    again = np.asarray(script.paste(tiles.astype(np.uint8))).astype(int)
    left, top = script.MARGIN_PX, script.HEAD_PX  # the names beside the images are set by the font at hand
    assert np.abs(shown[top:, left:] - again[top:, left:]).max() <= 1  # a rotation may round otherwise elsewhere
