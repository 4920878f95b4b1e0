import io

import numpy as np
import pytest
from PIL import Image

from serving.bundle.decode import decode_image
from serving.png import encode_png
from tests.serving.files import encode, random_image


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 7), (7, 1), (28, 28), (5, 9, 3), (1, 1, 3), (300, 200, 3)], ids=lambda shape: f"{shape}"
)
def test_every_pixel_comes_back(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = encode_png(image)
    np.testing.assert_array_equal(decode_image(data, 1_000_000), image)
    with Image.open(io.BytesIO(data)) as opened:
        opened.verify()


def test_one_channel_is_grey():
    image = random_image(6, 4, channels=1)
    assert encode_png(image[..., None]) == encode_png(image)


def test_a_view_is_encoded_as_what_it_shows():
    image = random_image(20, 30)
    np.testing.assert_array_equal(decode_image(encode_png(image[::2, ::-3]), 1000), image[::2, ::-3])


def test_a_picture_takes_about_the_room_that_pillow_needs():
    waves = np.add.outer(np.arange(200), np.arange(300))
    image = (127 + 100 * np.sin(waves / 15) + np.random.default_rng(0).normal(0, 2, waves.shape)).astype(np.uint8)
    assert len(encode_png(image)) < 1.3 * len(encode(image, "PNG")) < image.size
