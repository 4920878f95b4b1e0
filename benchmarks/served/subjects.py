"""What is served and asked for. It needs no torch: a process that sends requests and adds up memory holds none."""

import base64
import io
import json
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from serving.bundle.contract import MODULE

TOLERANCE = 1e-3  # of a probability, in another server's answer too


@dataclass(frozen=True)
class Subject:
    """A network by its key on the command line; `architecture` is what `networks` knows it by."""

    key: str
    title: str
    architecture: str
    channels: int
    size_px: int

    @property
    def constant(self) -> "Subject":
        """The same images, all answered by a constant."""
        return replace(self, architecture="constant")


SUBJECTS = (
    Subject("cnn", "CNN, 28 px grey", "cnn", 1, 28),
    Subject("resnet18", "resnet18, 32 px colour", "resnet18", 3, 32),
    Subject("mobilenet", "mobilenet_v3_small, 224 px colour", "mobilenet_v3_small", 3, 224),
)


@dataclass(frozen=True)
class Asked:
    """A request's body with its headers, and where it goes."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, eq=False)
class Made:
    """A subject's bundle in `folder`, the image (H, W) or (H, W, 3) that is asked about, and its answer (K,)."""

    subject: Subject
    folder: Path
    image: NDArray[np.uint8]
    answer: NDArray[np.float32]
    parameters: int

    @property
    def module(self) -> Path:
        """The TorchScript file."""
        return self.folder / MODULE

    @property
    def shape(self) -> str:
        """The image's shape, as Evergreen's header has it."""
        return ",".join(map(str, self.image.shape))

    @property
    def base64(self) -> str:
        """The image's bytes in row order, as text."""
        return base64.b64encode(self.image.tobytes()).decode()

    @property
    def png(self) -> bytes:
        """The image as a file."""
        stream = io.BytesIO()
        Image.fromarray(self.image).save(stream, format="PNG")
        return stream.getvalue()

    def ask_raw(self, path: str, **headers: str) -> Asked:
        """Return a request of the image's bytes in row order."""
        return Asked(path, {"content-type": "application/octet-stream", **headers}, self.image.tobytes())


def ask_json(path: str, content: object) -> Asked:
    """Return a request of JSON."""
    return Asked(path, {"content-type": "application/json"}, json.dumps(content).encode())


def make_subject(subject: Subject, folder: Path) -> Made:
    """Write a subject's bundle as the new folder `folder`, in a process of its own, which imports torch."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_make, subject, folder).result()


def _make(subject: Subject, folder: Path) -> Made:
    from benchmarks.served.make import make  # noqa: PLC0415 - torch is for this process alone

    return make(subject, folder)
