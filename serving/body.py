"""Reading a request's body, up to a limit."""

from starlette.requests import Request

from serving.errors import BadInputError, BodyTooLargeError
from serving.numbers import parse_number


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return the body, which is never held beyond `max_bytes`.

    The Content-Length is judged first; a body without one is judged as it comes.

    Raises:
        BodyTooLargeError: it is longer.
        BadInputError: it is empty.
    """
    announced = parse_number(request.headers.get("content-length", ""))
    if announced is not None and announced > max_bytes:
        raise BodyTooLargeError(f"the body has {announced} bytes, the limit is {max_bytes}")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            raise BodyTooLargeError(f"the body has more than {max_bytes} bytes, the limit")
    if not body:
        raise BadInputError("the body is empty: send an image")
    return bytes(body)
