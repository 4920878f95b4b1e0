"""`POST /predict`: images in any of the formats of `serving.images`, classes by name out."""

import reprlib
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.requests import Request
from starlette.responses import JSONResponse

from serving.body import read_body
from serving.bundle.decode import Pixels
from serving.errors import BadInputError
from serving.images import SHAPE_HEADER, ImageRequest, read_images
from serving.numbers import parse_number
from serving.routes.state import media_type, service_of

TOP_K = 5  # classes named per image where the request does not say how many


async def predict(request: Request) -> JSONResponse:
    """Answer one or many images with their classes, the most probable first."""
    service = service_of(request)
    model, settings = service.model, service.settings
    classes = model.contract.classes
    top_k = _read_top_k(request, len(classes))
    images = await _read_images(request)
    answer = await service.predict(images, request.state.deadline)
    service.record(request.state.request_id, images, answer)
    return JSONResponse(
        {
            "model": settings.model_name,
            "version": settings.model_version,
            "digest": model.digest,
            "request_id": request.state.request_id,
            "predictions": [_describe(row, classes, top_k) for row in answer.probabilities],
        }
    )


async def _read_images(request: Request) -> list[Pixels]:
    """Return the images; all but raw pixels are read away from the event loop."""
    service = service_of(request)
    settings = service.settings
    sent = ImageRequest(
        await read_body(request, settings.max_body_bytes),
        media_type(request),
        request.headers.get("content-type", ""),
        request.headers.get(SHAPE_HEADER),
        max_pixels=settings.max_pixels,
        max_images=settings.max_images,
    )
    if sent.is_raw:
        return read_images(sent)
    images = await service.read(partial(read_images, sent))
    request.state.intake.ticket.add_bytes(sum(image.nbytes for image in images))  # a small file may be a large image
    return images


def _read_top_k(request: Request, classes: int) -> int:
    text = request.query_params.get("top_k") if request.scope["query_string"] else None
    if text is None:
        return min(TOP_K, classes)
    number = parse_number(text)
    if number is None or not 1 <= number <= classes:
        raise BadInputError(
            f"top_k is {reprlib.repr(text)}; expected an integer from 1 to {classes}, the number of classes"
        )
    return number


def _describe(probabilities: npt.NDArray[np.float32], classes: tuple[str, ...], top_k: int) -> dict[str, Any]:
    """Return one image's prediction from its probabilities (K,)."""
    order = np.argsort(-probabilities, kind="stable")[:top_k].tolist()
    ranked = [
        {"class": index, "label": classes[index], "probability": probability}
        for index, probability in zip(order, probabilities[order].tolist(), strict=True)
    ]
    return {**ranked[0], "top_k": ranked}
