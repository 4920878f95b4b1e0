"""Image files for tests: well-formed ones by Pillow, ill-formed ones by hand."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encode(image: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    """Return an image as a file of `kind`: PNG, JPEG, GIF, ..."""
    stream = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(stream, format=kind, **options)
    return stream.getvalue()


def png_header(width: int, height: int, *, depth: int = 8, colour: int = 0) -> bytes:
    """Return a PNG that claims a size and holds a few bytes of pixels: what a decompression bomb looks like."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def random_image(height: int = 12, width: int = 9, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Return noise, (H, W) or (H, W, 3) uint8."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
