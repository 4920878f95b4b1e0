"""Records as lines of JSON, in the names of `serving.records`, with `kind` first: "prediction" or "feedback".

Times are UTC, in ISO 8601 with microseconds. An embedding is its float32 values, little-endian, in base64: every bit,
in a third of the room that numbers take. An image is a PNG or JPEG file in base64.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from serving.bundle.decode import Pixels
from serving.png import encode_png
from serving.prediction import Prediction
from serving.records import STATISTICS, measure_images

PREDICTION = "prediction"
FEEDBACK = "feedback"


@dataclass(frozen=True, slots=True)
class Answered:
    """A request's N images, what the model said of them, and when, in seconds since 1970."""

    time: float
    request_id: str
    images: Sequence[Pixels]
    prediction: Prediction


class PredictionLines:
    """Writes the lines of one model version's predictions.

    A line over `max_bytes` is written without its image.
    """

    def __init__(self, model_version: str, classes: Sequence[str], *, has_images: bool, max_bytes: int) -> None:
        self._version = json.dumps(model_version)
        self._classes = [json.dumps(name) for name in classes]
        self._has_images = has_images
        self._max_bytes = max_bytes

    def format(self, rows: Sequence[tuple[Answered, int]]) -> list[bytes]:
        """Return the lines of some requests' images; the number is an image's place in its request."""
        images = [answered.images[index] for answered, index in rows]
        statistics = measure_each(images)
        lines = []
        for (answered, index), image, measured in zip(rows, images, statistics.tolist(), strict=True):
            line = self._line(answered, index, measured)
            picture = b""
            if self._has_images:
                picture = b',"image":"%b"' % base64.b64encode(encode_png(image))
            lines.append(line + (picture if len(line) + len(picture) + 2 <= self._max_bytes else b"") + b"}\n")
        return lines

    def _line(self, answered: Answered, index: int, measured: tuple[float, ...]) -> bytes:
        """Return a line up to its closing brace; %.9g gives a float32 back to the bit."""
        probabilities = answered.prediction.probabilities[index]
        winner = int(probabilities.argmax())
        embedding = answered.prediction.embeddings[index].astype("<f4", copy=False).tobytes()
        brightness, contrast, sharpness, height, width = measured
        return (
            f'{{"kind":"{PREDICTION}","time":"{format_time(answered.time)}",'
            f'"request_id":{json.dumps(answered.request_id)},"index":{index},"model_version":{self._version},'
            f'"predicted_class":{self._classes[winner]},"confidence":{probabilities[winner]:.9g},'
            f'"embedding":"{base64.b64encode(embedding).decode()}","brightness":{brightness:.9g},'
            f'"contrast":{contrast:.9g},"sharpness":{sharpness:.9g},"height":{height},"width":{width}'
        ).encode()


def feedback_line(time: float, request_id: str, index: int, *, label: str, image: bytes | None) -> bytes:
    """Return the line that says which class an image truly is; `image` is its file, where that was sent."""
    values: dict[str, object] = {
        "kind": FEEDBACK,
        "time": format_time(time),
        "request_id": request_id,
        "index": index,
        "label": label,
    }
    if image is not None:
        values["image"] = base64.b64encode(image).decode()
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def format_time(seconds: float) -> str:
    """Return a time in seconds since 1970 as ISO 8601 in UTC, with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def measure_each(images: Sequence[Pixels]) -> npt.NDArray[np.void]:
    """Measure images of any shapes, those of one shape together: (N,) of `STATISTICS`, in their order."""
    places: dict[tuple[int, ...], list[int]] = {}
    for place, image in enumerate(images):
        places.setdefault(image.shape, []).append(place)
    measured = np.empty(len(images), STATISTICS)
    for same in places.values():
        measured[same] = measure_images(np.stack([images[place] for place in same]))
    return measured
