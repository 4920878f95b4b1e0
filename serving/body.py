"""Reading a request's body: up to a limit, within a time, and counted while it is held."""

import asyncio
import time
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from serving.departure import Departure
from serving.errors import BadInputError, BodyTooLargeError, DeadlinePassedError, SlowRequestError
from serving.room import Ticket


@dataclass(frozen=True, slots=True)
class Intake:
    """How one request may be read: `serving.admission` gives it, as `request.state.intake`."""

    ticket: Ticket
    departure: Departure
    deadline: float  # time.monotonic()
    receive_s: float


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return the body, which is never held beyond `max_bytes`; the request is in flight from then on.

    Raises:
        BodyTooLargeError: it is longer.
        BadInputError: it is empty.
        SlowRequestError: it did not come in time.
        UnavailableError: there is no room for it.
        DeadlinePassedError: it came, but an answer would be of no use any more.
        ClientDisconnect: the client left before it was whole.
    """
    intake: Intake = request.state.intake
    try:
        async with asyncio.timeout(intake.receive_s):
            body = await _receive(request, max_bytes, intake.ticket)
    except TimeoutError as error:
        raise SlowRequestError(f"the body did not come within {intake.receive_s:g} s, the limit") from error
    if not body:
        raise BadInputError("the body is empty: send an image")
    intake.ticket.take_place()
    if time.monotonic() >= intake.deadline:
        raise DeadlinePassedError("the time that the request had was over when it was whole; nothing was computed")
    intake.departure.watch()
    return body


async def _receive(request: Request, max_bytes: int, ticket: Ticket) -> bytes:
    body = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        if len(body) + len(part) > max_bytes:
            raise BodyTooLargeError(f"the body has more than {max_bytes} bytes, the limit")
        ticket.add_bytes(len(part))
        if not message.get("more_body", False):
            return bytes(body + part) if body else part
        body += part
