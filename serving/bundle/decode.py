"""Decode a PNG or JPEG file into uint8 pixels: the one decoder of data preparation, golden check and server.

What a file becomes, so that training and serving agree:
- grey files (1, L, LA) become (H, W), all others (palette, RGB, RGBA, CMYK) (H, W, 3);
- transparency is laid over white, as a page shows it: colours hidden under it must not decide a class;
- the orientation in EXIF is applied: a phone's photo stands upright.
"""

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, JpegImagePlugin, PngImagePlugin

Pixels = npt.NDArray[np.uint8]

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"

_PNG_DEPTH_OFFSET = 24  # bytes: the signature 8, IHDR's length and name 8, width 4, height 4
_GREY_MODES = ("1", "L", "LA")
# What Pillow raises on damaged files, its own types and those it lets through.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, struct.error, zlib.error)
# A photo with odd metadata is no news for a server's log: the pixels are what counts.
warnings.filterwarnings("ignore", message="(Possibly c|C)orrupt EXIF data", category=UserWarning, module="PIL")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """A file that cannot be used as an image; the message says why, for the person who sent it."""


def decode_image(data: bytes, max_pixels: int) -> Pixels:
    """Return a PNG or JPEG file's pixels, (H, W) or (H, W, 3) uint8.

    Raises:
        ImageError: neither PNG nor JPEG, damaged, truncated, 16 bits a channel, or more than `max_pixels`
            (read from the header, before any pixel is decoded).
    """
    kind, image = _open(data)
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(f"{width} x {height} = {width * height} pixels, the limit is {max_pixels}")
    if kind == "PNG" and data[_PNG_DEPTH_OFFSET] == 16:
        raise ImageError(f"16-bit PNG (mode {image.mode}): save it with 8 bits a channel")
    try:
        image.load()
        return np.array(_upright(_flatten(image), _orientation(image)))
    except _DAMAGE as error:
        raise _damaged(kind, data, error) from error


def is_image_file(data: bytes) -> bool:
    """Say whether the first bytes are those of a PNG or a JPEG file."""
    return data.startswith((PNG_MAGIC, JPEG_MAGIC))


def _open(data: bytes) -> tuple[str, Image.Image]:
    """Read the header. The plugins are called directly: `Image.open` tries other formats and warns of big images."""
    if not is_image_file(data):
        found = f"starts with {data[:9]!r}" if data else "it is empty"
        raise ImageError(f"not a PNG or JPEG: {found}")
    kind = "PNG" if data.startswith(PNG_MAGIC) else "JPEG"
    plugin: Any = PngImagePlugin.PngImageFile if kind == "PNG" else JpegImagePlugin.JpegImageFile
    try:
        return kind, plugin(io.BytesIO(data))
    except _DAMAGE as error:
        raise _damaged(kind, data, error) from error


def _damaged(kind: str, data: bytes, error: Exception) -> ImageError:
    """Return Pillow's complaint as a sentence for people."""
    cause = str(error)
    if any(sign in cause.lower() for sign in ("truncated", "unpack", "out of range")):
        return ImageError(f"truncated {kind}: the image goes on after the {len(data)} bytes")
    if "not identified" in cause:
        return ImageError(f"damaged {kind}: no usable header in {len(data)} bytes")
    return ImageError(f"damaged {kind}: {cause or type(error).__name__}")


def _flatten(image: Image.Image) -> Image.Image:
    """Return the image as L or RGB, transparency over white."""
    mode = "L" if image.mode in _GREY_MODES else "RGB"
    if not image.has_transparency_data:
        return image if image.mode == mode else image.convert(mode)  # without a copy: it may be large
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert(mode)


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 (upright) to 8; damaged EXIF says nothing and is no reason to refuse pixels."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _DAMAGE:
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)
