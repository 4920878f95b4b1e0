"""Golden answers: inputs with what the model said when it was made. A server that says otherwise is not ready.

golden/golden.json lists {"file", "kind": "raw" | "png" | "jpeg", "probabilities"}; a raw file is .npy,
(H, W) or (H, W, 3) uint8. PNG and JPEG files are there so that the decoder is checked as well as the model.
"""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PureWindowsPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving.bundle.contract import GOLDEN, BundleError, Contract
from serving.bundle.decode import ImageError, Pixels, decode_image

INDEX = "golden.json"

_KINDS = ("raw", "png", "raw", "jpeg")  # taken in turn: half of the inputs are files to decode
_SUFFIXES = {"raw": "npy", "png": "png", "jpeg": "jpg"}
_JPEG_QUALITY = 95
_MAX_PIXELS = 2**31  # the contract names these files' SHA-256: they are no stranger's


@dataclass(frozen=True)
class GoldenAnswer:
    """One input, a file beside golden.json, and the probabilities (K,) that it must get."""

    file: str
    kind: str
    probabilities: list[float]


def write_golden(
    folder: Path, images: Sequence[Pixels], answer: Callable[[Pixels], npt.NDArray[np.float32]]
) -> list[str]:
    """Write the golden folder of the bundle `folder` and return its files' paths, relative to the bundle.

    `answer` returns the probabilities (K,) of one image (H, W) or (H, W, 3) uint8. What a JPEG loses is lost
    before the model is asked: it gets the decoded file.
    """
    (folder / GOLDEN).mkdir(parents=True, exist_ok=True)
    answers = []
    for number, image in enumerate(images):
        kind = _KINDS[number % len(_KINDS)]
        file = f"{number:03d}.{_SUFFIXES[kind]}"
        (folder / GOLDEN / file).write_bytes(_encode(image, kind))
        probabilities = answer(_read(folder / GOLDEN / file, kind))
        answers.append(GoldenAnswer(file, kind, [float(value) for value in probabilities]))
    index = json.dumps([asdict(entry) for entry in answers], indent=1) + "\n"
    (folder / GOLDEN / INDEX).write_text(index)
    return [f"{GOLDEN}/{INDEX}", *(f"{GOLDEN}/{entry.file}" for entry in answers)]


def check_listed(folder: Path, contract: Contract) -> None:
    """Check that the contract vouches for the golden answers: it lists the index and every input as served.

    Raises:
        BundleError: a file is not in the contract, so that nobody would see it altered.
    """
    listed = {file.path for file in contract.files if file.is_served}
    index = f"{GOLDEN}/{INDEX}"
    inputs = [f"{GOLDEN}/{entry.file}" for entry in _read_index(folder)] if index in listed else []
    if missing := [path for path in (index, *inputs) if path not in listed]:
        raise BundleError(f"the contract of {folder} does not list {missing[0]} as served: make the bundle anew")


@dataclass(frozen=True)
class GoldenSet:
    """The golden inputs, decoded, with the answers (N, K) that they must get."""

    files: tuple[str, ...]
    images: tuple[Pixels, ...]
    expected: npt.NDArray[np.float64]

    def check(self, found: npt.NDArray[np.float32], tolerance: float) -> None:
        """Compare answers (N, K) with the golden ones.

        Raises:
            BundleError: a probability differs by more than `tolerance` or is not finite; it names the worst file.
        """
        if found.shape != self.expected.shape:
            raise BundleError(
                f"the golden answers have shape {self.expected.shape}, the model answers with {found.shape}"
            )
        differences = np.abs(found.astype(np.float64) - self.expected).max(axis=1)  # (N,); NaN where either side is
        differences = np.where(np.isfinite(differences), differences, np.inf)
        worst = int(differences.argmax())
        if differences[worst] > tolerance:
            count = int((differences > tolerance).sum())
            raise BundleError(
                f"{count} of {len(self.files)} golden answers are wrong; the worst is {GOLDEN}/{self.files[worst]}: "
                f"a probability differs by {differences[worst]:.6g}, the tolerance is {tolerance:.6g}"
            )


def read_golden(folder: Path) -> GoldenSet:
    """Read the golden inputs and answers of the bundle `folder`.

    Raises:
        BundleError: no golden answers, or an input that cannot be read.
    """
    entries = _read_index(folder)
    images = tuple(_read(folder / GOLDEN / entry.file, entry.kind) for entry in entries)
    expected = np.array([entry.probabilities for entry in entries], dtype=np.float64)
    return GoldenSet(tuple(entry.file for entry in entries), images, expected)


def check_golden(folder: Path, answer: Callable[[list[Pixels]], npt.NDArray[np.float32]], tolerance: float) -> None:
    """Ask the golden questions of the bundle `folder` and compare; `answer` returns (N, K) for N images.

    Raises:
        BundleError: no golden answers, an unreadable input, or an answer that differs too much or is not finite.
    """
    golden = read_golden(folder)
    golden.check(answer(list(golden.images)), tolerance)


def _read_index(folder: Path) -> list[GoldenAnswer]:
    path = folder / GOLDEN / INDEX
    try:
        entries = [GoldenAnswer(**entry) for entry in json.loads(path.read_text())]
    except (OSError, TypeError, ValueError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    if not entries:
        raise BundleError(f"{path} has no answers: nothing would be checked")
    for entry in entries:
        if not _is_plain_name(entry.file):
            raise BundleError(f"{path} names the file {entry.file!r}; expected the plain name of a file beside it")
    if len({len(entry.probabilities) for entry in entries}) > 1:
        raise BundleError(f"{path} has answers of different lengths")
    return entries


def _is_plain_name(file: object) -> bool:
    """Whether this is a file's name and no way; by the rules of Windows, which know those of other systems too."""
    return isinstance(file, str) and file not in ("", ".", "..") and PureWindowsPath(file).name == file


def _encode(image: Pixels, kind: str) -> bytes:
    stream = io.BytesIO()
    if kind == "raw":
        np.save(stream, image, allow_pickle=False)
    else:
        Image.fromarray(image).save(stream, format=kind.upper(), quality=_JPEG_QUALITY)
    return stream.getvalue()


def _read(path: Path, kind: str) -> Pixels:
    """Return a golden input as pixels (H, W) or (H, W, 3) uint8."""
    try:
        if kind == "raw":
            image: Pixels = np.load(path, allow_pickle=False)
            return image
        return decode_image(path.read_bytes(), _MAX_PIXELS)
    except (OSError, ValueError, ImageError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
