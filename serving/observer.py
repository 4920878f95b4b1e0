"""Around every request: its id, its version headers, its metrics, its log line, and the answer when all else fails."""

import logging
import re
import time
import uuid
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.line_limit import LineLimit
from serving.notes import Notes, open_notes
from serving.request_ids import HEADER, REQUEST_ID
from serving.service import Service
from serving.trace import TRACEPARENT_HEADER, read_traceparent

logger = logging.getLogger(__name__)

_ID = HEADER.encode()
_TRACEPARENT = TRACEPARENT_HEADER.encode()
_SANE_ID = re.compile(REQUEST_ID.pattern.encode())
_QUIET_ROUTES = (  # asked every second, by machines
    "/metrics",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/{name}/ready",
    "/v2/models/{name}/versions/{version}/ready",
)
_FIRST_REFUSAL = 400
_FIRST_FAILURE = 500
_REFUSED_FOR_NOW = (503, 504)  # too busy, too late: not ready for this request, and no failure
_CLIENT_CLOSED = 499  # nginx's code for a client that left before its answer

_Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A request as it came; `arrived` is `time.monotonic()`."""

    arrived: float
    request_id: str
    traceparent: str | None
    notes: Notes


class Observer:
    """ASGI middleware, the outermost: nothing of an error's inside gets past it.

    It leaves `arrived` (`time.monotonic()`) and `request_id` in the request's state.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service
        self._refusals = LineLimit()
        self._version: _Header = (b"x-evergreen-version", service.settings.model_version.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an HTTP request on and watch over its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = _look_at(scope)
        answer = _Answer(send, self._headers(seen))
        self._enter(1)
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            answer.code = answer.code or _CLIENT_CLOSED
        except Exception:
            logger.exception("a request failed", extra={"request_id": seen.request_id})
            if answer.code is not None:
                raise  # its answer has begun: the connection must break, or a part would be taken for all
            message = f"internal error; the server's log has it as {seen.request_id}"
            error = JSONResponse({"error": message, "request_id": seen.request_id}, status_code=500)
            await error(scope, receive, answer.send)
        finally:
            self._enter(-1)
            self._record(scope, seen, answer.code or _CLIENT_CLOSED)

    def _headers(self, seen: _Seen) -> list[_Header]:
        headers = [(_ID, seen.request_id.encode()), self._version]
        if self._service.digest is not None:
            headers.append((b"x-evergreen-digest", self._service.digest.encode()))
        if seen.traceparent is not None:
            headers.append((_TRACEPARENT, seen.traceparent.encode()))
        return headers

    def _enter(self, change: int) -> None:
        self._service.in_flight += change
        self._service.metrics.in_flight.set(self._service.in_flight)

    def _record(self, scope: Scope, seen: _Seen, code: int) -> None:
        """Count and log by the route's pattern: a path that a client invents makes no new series."""
        now = time.monotonic()
        route = getattr(scope.get("route"), "path", "unknown")
        self._service.metrics.answered(route, code, now - seen.arrived)
        level = choose_level(route, code)
        if not logger.isEnabledFor(level):
            return
        more: Notes = {} if seen.traceparent is None else {"traceparent": seen.traceparent}
        if level == logging.INFO and not logger.isEnabledFor(logging.DEBUG):
            left_out = self._refusals.take(now)
            if left_out is None:
                return
            if left_out:
                more["left_out"] = left_out  # refusals before this one
        line = {
            "method": scope["method"],
            "route": route,
            "code": code,
            "ms": 1000 * (now - seen.arrived),
            "request_id": seen.request_id,
            "version": self._service.settings.model_version,
            **more,
            **seen.notes,
        }
        logger.log(level, "request", extra={name: _short(value) for name, value in line.items()})


class _Answer:
    """Sends an answer on, with headers added, and remembers its code."""

    __slots__ = ("_headers", "_send", "code")

    def __init__(self, send: Send, headers: list[_Header]) -> None:
        self.code: int | None = None
        self._send = send
        self._headers = headers

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.code = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._headers]
        await self._send(message)


def choose_level(route: str, code: int) -> int:
    """Return the level of a request's line: what goes well is in the metrics, and a log has no end."""
    if code >= _FIRST_FAILURE and code not in _REFUSED_FOR_NOW:
        return logging.ERROR
    if code >= _FIRST_REFUSAL and route not in _QUIET_ROUTES:
        return logging.INFO
    return logging.DEBUG


def _look_at(scope: Scope) -> _Seen:
    """Read the headers once; the client's or router's request id is kept if it is fit for a log."""
    arrived = time.monotonic()
    request_id = traceparent = None
    for name, value in scope["headers"]:
        if name == _ID:
            request_id = request_id or value
        elif name == _TRACEPARENT:
            traceparent = value if traceparent is None else b""  # two are as good as none
    is_sane = request_id is not None and _SANE_ID.fullmatch(request_id)
    state = scope.setdefault("state", {})
    state["arrived"] = arrived
    state["request_id"] = request_id.decode() if request_id and is_sane else uuid.uuid4().hex
    trace = read_traceparent(traceparent) if traceparent else None
    return _Seen(arrived, state["request_id"], trace, open_notes())


def _short(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value
