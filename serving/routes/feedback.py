"""`POST /feedback`: the true class of an image that was predicted, into the prediction log."""

import reprlib
import time
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from serving.body import read_body
from serving.errors import BadInputError, BodyTooLargeError, UnavailableError, WrongTypeError
from serving.feedback import read_feedback
from serving.images import JSON_TYPE
from serving.record_lines import feedback_line
from serving.recorder import Recorder
from serving.routes.state import media_type, service_of
from serving.sampling import is_recorded
from serving.service import Service

_JSON_TYPES = (JSON_TYPE, "")
_ACCEPTED = 202
_NOT_FOUND = 404


async def feedback(request: Request) -> JSONResponse:
    """Take a feedback into the log's queue, and answer 202 with what the log has of the image."""
    service = service_of(request)
    recorder = recorder_of(service)
    if media_type(request) not in _JSON_TYPES:
        raise WrongTypeError(f"content type {reprlib.repr(media_type(request))} is not read here; expected {JSON_TYPE}")
    settings = service.settings
    body = await read_body(request, settings.max_body_bytes)
    limits = {"max_pixels": settings.max_pixels, "max_images": settings.max_images}
    sent = await service.read(partial(read_feedback, body, **limits))
    is_logged = is_recorded(sent.request_id, recorder.plan.share)
    if not is_logged and sent.image is None:
        raise BadInputError(
            f"request {sent.request_id!r} is not among the {recorder.plan.share:.6g} of all that are recorded: "
            "send its image along"
        )
    line = feedback_line(time.time(), sent.request_id, sent.index, label=sent.label, image=sent.image)
    if len(line) > recorder.max_line_bytes:
        raise BodyTooLargeError(f"the record has {len(line)} bytes, the limit is {recorder.max_line_bytes}")
    if not recorder.offer_line(line):
        raise UnavailableError("the prediction log takes nothing now: its queue or its disk is full; try again")
    image = "sent" if sent.image is not None else "logged" if recorder.plan.has_images else "none"
    return JSONResponse(
        {"request_id": sent.request_id, "index": sent.index, "label": sent.label, "image": image},
        status_code=_ACCEPTED,
    )


def recorder_of(service: Service) -> Recorder:
    """Return the server's recorder.

    Raises:
        HTTPException: 404, the server keeps no prediction log.
        UnavailableError: it will, once the model is loaded.
    """
    if not service.settings.record_folder:
        raise HTTPException(_NOT_FOUND, "this server keeps no prediction log: it was started without --record-folder")
    if service.recorder is None:
        raise UnavailableError(f"the prediction log is not open: the server is {service.state}; try again or elsewhere")
    return service.recorder
