import re

import numpy as np
import pytest
from PIL import Image

from serving.bundle.decode import ImageError, decode_image
from tests.serving.files import encode, png_header, random_image

LIMIT = 50_000_000
GREY = random_image(channels=1)
COLOUR = random_image()


def rgba(alpha: int) -> Image.Image:
    image = Image.fromarray(COLOUR).convert("RGBA")
    image.putalpha(alpha)
    return image


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encode(GREY, "PNG"), GREY),
        (encode(COLOUR, "PNG"), COLOUR),
        (encode(Image.fromarray(COLOUR).quantize(256), "PNG"), None),
        (encode(Image.fromarray(GREY > 127), "PNG"), (GREY > 127).astype(np.uint8) * 255),
        (encode(rgba(255), "PNG"), COLOUR),
        (encode(rgba(0), "PNG"), np.full_like(COLOUR, 255)),
        (encode(Image.fromarray(GREY).convert("LA"), "PNG"), GREY),
        (encode(Image.new("L", (9, 12), 7), "PNG", transparency=7), np.full((12, 9), 255, np.uint8)),
        (encode(Image.fromarray(COLOUR).quantize(256), "PNG", transparency=bytes(256)), np.full_like(COLOUR, 255)),
        (encode(GREY, "JPEG"), None),
        (encode(COLOUR, "JPEG"), None),
        (encode(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"), None),
    ],
    ids=[
        "grey png", "colour png", "palette png", "one-bit png", "opaque rgba", "transparent rgba is white",
        "grey with alpha", "transparent grey value", "transparent palette", "grey jpeg", "colour jpeg", "cmyk jpeg",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("error")  # Pillow's would reach the server's log
def test_files_that_decode(data, expected):
    pixels = decode_image(data, LIMIT)
    assert pixels.dtype == np.uint8
    assert pixels.shape[:2] == (12, 9)
    assert pixels.ndim == 2 or pixels.shape[2] == 3
    if expected is not None:
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not a PNG or JPEG: it is empty"),
        (b"hello world, I am a text file", "not a PNG or JPEG: starts with b'hello wor'"),
        (encode(COLOUR, "GIF"), "not a PNG or JPEG: starts with b'GIF87a"),
        (encode(COLOUR, "BMP"), "not a PNG or JPEG: starts with b'BM"),
        (encode(COLOUR, "PNG")[:8], "truncated PNG: "),
        (encode(COLOUR, "PNG")[:20], "truncated PNG: "),
        (encode(COLOUR, "PNG")[:90], "truncated PNG: the image goes on after the 90 bytes"),
        (encode(COLOUR, "JPEG")[:3], "damaged JPEG: no usable header in 3 bytes"),
        (encode(COLOUR, "JPEG")[:100], "truncated JPEG: "),
        (encode(COLOUR, "JPEG")[:-60], "truncated JPEG: "),
        (encode(COLOUR, "PNG").replace(b"IHDR", b"XHDR"), "damaged PNG: "),
        (encode(GREY.astype(np.uint16) * 257, "PNG"), "16-bit PNG (mode I;16): save it with 8 bits a channel"),
        (png_header(9, 9, depth=16, colour=2), "16-bit PNG (mode RGB): save it with 8 bits a channel"),
        (png_header(20_000, 20_000), "20000 x 20000 = 400000000 pixels, the limit is 50000000"),
        (png_header(2**31 - 1, 2**31 - 1), "2147483647 x 2147483647 = 4611686014132420609 pixels, the limit is"),
        (png_header(0, 9), "damaged PNG: "),
    ],
    ids=[
        "empty", "text", "gif", "bmp", "png signature alone", "png cut in its header", "png cut in its pixels",
        "jpeg signature alone", "jpeg cut in its header", "jpeg cut in its pixels", "png without header",
        "16-bit grey", "16-bit colour", "decompression bomb", "the largest claim", "no width",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("error")  # Pillow's would reach the server's log
def test_files_that_do_not(data, sentence):
    with pytest.raises(ImageError, match="^" + re.escape(sentence)):
        decode_image(data, LIMIT)


def test_the_limit_itself_is_allowed():
    data = encode(GREY, "PNG")
    assert decode_image(data, GREY.size).shape == GREY.shape
    with pytest.raises(ImageError, match=f"the limit is {GREY.size - 1}$"):
        decode_image(data, GREY.size - 1)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_orientation_in_exif_is_applied(orientation, turns):
    upright = Image.linear_gradient("L").resize((16, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode_image(encode(upright, "PNG", exif=exif), LIMIT)
    np.testing.assert_array_equal(pixels, np.rot90(np.array(upright), turns))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_is_no_reason_to_refuse():
    data = encode(COLOUR, "JPEG", exif=b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff garbage")
    assert decode_image(data, LIMIT).shape == COLOUR.shape


@pytest.mark.filterwarnings("ignore")
def test_random_damage_is_never_anything_but_an_image_error():
    generator = np.random.default_rng(0)
    outcomes = {"decoded": 0, "refused": 0}
    for kind in ("PNG", "JPEG"):
        whole = np.frombuffer(encode(random_image(40, 40), kind), np.uint8)
        for _ in range(300):
            data = whole.copy()
            data[generator.integers(4, len(data), 5)] = generator.integers(0, 256, 5)
            try:
                decode_image(data.tobytes(), LIMIT)
                outcomes["decoded"] += 1
            except ImageError:
                outcomes["refused"] += 1
    assert outcomes["decoded"] > 0
    assert outcomes["refused"] > 0
