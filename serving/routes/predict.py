"""`POST /predict`: images in any of the formats of `serving.images`, classes by name out."""

import reprlib
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.requests import Request
from starlette.responses import JSONResponse

from serving.body import read_body
from serving.errors import BadInputError
from serving.images import SHAPE_HEADER, ImageRequest, read_images
from serving.numbers import parse_number
from serving.routes.state import media_type, service_of

_TOP_K = 5  # classes named per image where the request does not say how many


async def predict(request: Request) -> JSONResponse:
    """Answer one or many images with their classes, the most probable first."""
    service = service_of(request)
    classes = service.model.contract.classes
    top_k = _read_top_k(request.query_params.get("top_k"), len(classes))
    body = await read_body(request, service.settings.max_body_bytes)
    sent = ImageRequest(
        body,
        media_type(request),
        request.headers.get(SHAPE_HEADER),
        max_pixels=service.settings.max_pixels,
        max_images=service.settings.max_images,
    )
    images = await service.read(partial(read_images, sent))
    answer = await service.predict(images)
    return JSONResponse(
        {
            "model": service.settings.model_name,
            "version": service.settings.model_version,
            "digest": service.digest,
            "request_id": request.state.request_id,
            "predictions": [_describe(row, classes, top_k) for row in answer.probabilities],
        }
    )


def _read_top_k(text: str | None, classes: int) -> int:
    if text is None:
        return min(_TOP_K, classes)
    number = parse_number(text)
    if number is None or not 1 <= number <= classes:
        raise BadInputError(
            f"top_k is {reprlib.repr(text)}; expected an integer from 1 to {classes}, the number of classes"
        )
    return number


def _describe(probabilities: npt.NDArray[np.float32], classes: tuple[str, ...], top_k: int) -> dict[str, Any]:
    """Return one image's prediction from its probabilities (K,)."""
    order = np.argsort(-probabilities, kind="stable")[:top_k]
    ranked = [
        {"class": int(index), "label": classes[index], "probability": float(probabilities[index])} for index in order
    ]
    return {**ranked[0], "top_k": ranked}
