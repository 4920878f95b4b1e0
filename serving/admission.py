"""Whether a request is taken on at all: who sends it, how large it is, how much there is to do already.

All of it before the body is read: what is refused costs next to nothing.
"""

import asyncio
import hmac
import time

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.body import Intake
from serving.deadline import TIMEOUT_HEADER, read_deadline
from serving.departure import Departure
from serving.errors import BodyTooLargeError, UnauthorizedError, WrongTypeError
from serving.numbers import parse_number
from serving.room import Ticket
from serving.service import Service

_Headers = dict[bytes, bytes]  # by lower-case names; of one sent twice, the last

_TIMEOUT = TIMEOUT_HEADER.encode()


class Admission:
    """ASGI middleware of a route that takes bodies; `is_prediction` if it needs a model that is right."""

    def __init__(self, app: ASGIApp, service: Service, *, is_prediction: bool) -> None:
        self._app = app
        self._service = service
        self._is_prediction = is_prediction

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its `deadline` and `intake` in its state.

        Raises:
            UnauthorizedError: no token, or a wrong one.
            WrongTypeError: a compressed body.
            BadInputError: a time to wait that is no number.
            BodyTooLargeError: the announced length is over the limit.
            UnavailableError: no model that is right, or no room.
            ClientDisconnect: the client left before its answer.
        """
        settings, room, state = self._service.settings, self._service.room, scope["state"]
        headers: _Headers = dict(scope["headers"])
        check_token(headers, settings.token)
        announced = check_body(headers, settings.max_body_bytes)
        sent = headers.get(_TIMEOUT)
        arrived = state.get("arrived") or time.monotonic()
        deadline = read_deadline(
            None if sent is None else sent.decode("latin-1"), arrived=arrived, timeout_s=settings.timeout_s
        )
        if self._is_prediction:
            self._service.check_model()
        room.check_requests()
        room.check_bytes(announced)
        ticket, departure = Ticket(room), Departure(receive)
        state["deadline"] = deadline
        state["intake"] = Intake(ticket, departure, deadline, settings.receive_s)
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            departure.explain()
            raise
        finally:
            departure.stop()
            ticket.leave()


def check_token(headers: _Headers, token: str) -> None:
    """Compare the request's bearer token with `token`, in a time that tells nothing of it; an empty one is none.

    Raises:
        UnauthorizedError: there is none, or another.
    """
    if not token:
        return
    scheme, _, sent = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(sent.strip(), token.encode()):
        raise UnauthorizedError("this route needs the header 'authorization: Bearer TOKEN' with the server's token")


def check_body(headers: _Headers, max_bytes: int) -> int:
    """Return the body's announced length, 0 where none is, and refuse what will not be read.

    Raises:
        WrongTypeError: it is compressed.
        BodyTooLargeError: it is over `max_bytes`.
    """
    encoding = headers.get(b"content-encoding", b"").strip().lower()
    if encoding not in (b"", b"identity"):
        raise WrongTypeError(
            f"content encoding {encoding.decode('latin-1')!r} is not read here; send the body as it is"
        )
    announced = parse_number(headers.get(b"content-length", b"").decode("latin-1")) or 0
    if announced > max_bytes:
        raise BodyTooLargeError(f"the body has {announced} bytes, the limit is {max_bytes}")
    return announced
