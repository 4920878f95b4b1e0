import pytest
import torch
from PIL import Image

from serving.bundle.module import script_module
from serving.bundle.preprocess import Preprocess


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_of_the_right_shape_stays_as_it_is(channels):
    image = noise(channels, 28, 28)
    assert torch.equal(Preprocess(channels, 28)(image), image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28), (1, 60, 31), (3, 200, 90), (3, 1, 1), (1, 5, 300)])
def test_any_shape_becomes_the_networks_and_scripted_equals_eager(channels, shape):
    module, image = Preprocess(channels, 28), noise(*shape)
    eager = module(image)
    assert eager.shape == (channels, 28, 28)
    assert eager.dtype == torch.uint8
    assert torch.equal(script_module(module)(image), eager)


def test_colour_becomes_grey_as_pillow_makes_it():
    image = noise(3, 28, 28)
    pillow = Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")
    grey = Preprocess(1, 28)(image)
    difference = grey[0].int() - torch.frombuffer(bytearray(pillow.tobytes()), dtype=torch.uint8).view(28, 28)
    assert difference.abs().max() <= 1


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_grey_survives_colour_and_back(value):
    grey = torch.full((1, 28, 28), value, dtype=torch.uint8)
    colour = Preprocess(3, 28)(grey)
    assert torch.equal(colour, grey.expand(3, 28, 28))
    assert torch.equal(Preprocess(1, 28)(colour), grey)


def test_downscaling_averages_and_does_not_skip_pixels():
    stripes = torch.zeros(1, 56, 56, dtype=torch.uint8)
    stripes[:, :, ::2] = 255
    middle = Preprocess(1, 28)(stripes)[:, 2:-2, 2:-2]
    assert middle.min() >= 126
    assert middle.max() <= 129


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_other_channel_counts_are_refused(channels):
    with pytest.raises(ValueError, match=f"channels is {channels}; it must be 1"):
        Preprocess(channels, 28)
    with pytest.raises(ValueError, match=f"the image has {channels} channels"):
        Preprocess(1, 28)(torch.zeros(channels, 28, 28, dtype=torch.uint8))
