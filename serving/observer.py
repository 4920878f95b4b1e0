"""Around every request: its id, its version headers, its metrics, its log line, and the answer when all else fails."""

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.service import Service

logger = logging.getLogger(__name__)

REQUEST_ID_HEADER = "x-request-id"

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_QUIET_ROUTES = ("/metrics", "/v2/health/live", "/v2/health/ready")  # asked every second, by machines
_FIRST_REFUSAL = 400
_CLIENT_CLOSED = 499  # nginx's code for a client that left before its answer


class Observer:
    """ASGI middleware, the outermost: nothing of an error's inside gets past it."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an HTTP request on and watch over its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, self._headers(request_id))
        self._enter(1)
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            answer.code = _CLIENT_CLOSED
        except Exception:
            logger.exception("a request failed", extra={"request_id": request_id})
            if answer.code is not None:
                raise  # its answer has begun: the connection must break, or a part would be taken for all
            error = {"error": f"internal error; the server's log has it as {request_id}", "request_id": request_id}
            await JSONResponse(error, status_code=500)(scope, receive, answer.send)
        finally:
            self._enter(-1)
            self._record(scope, answer.code or _CLIENT_CLOSED, time.perf_counter() - started)

    def _headers(self, request_id: str) -> dict[str, str]:
        headers = {REQUEST_ID_HEADER: request_id, "x-evergreen-version": self._service.settings.model_version}
        if self._service.digest is not None:
            headers["x-evergreen-digest"] = self._service.digest
        return headers

    def _enter(self, change: int) -> None:
        self._service.in_flight += change
        self._service.metrics.in_flight.set(self._service.in_flight)

    def _record(self, scope: Scope, code: int, seconds: float) -> None:
        """Count and log by the route's pattern: a path that a client invents makes no new series."""
        route = getattr(scope.get("route"), "path", "unknown")
        self._service.metrics.requests.labels(route, code).inc()
        self._service.metrics.seconds.labels(route).observe(seconds)
        is_worth_a_line = code >= _FIRST_REFUSAL and route not in _QUIET_ROUTES
        logger.log(
            logging.INFO if is_worth_a_line else logging.DEBUG,  # what goes well is in the metrics; a log has no end
            "request",
            extra={
                "method": scope["method"],
                "route": route,
                "code": code,
                "ms": round(1000 * seconds, 2),
                "request_id": scope["state"]["request_id"],
            },
        )


class _Answer:
    """Sends an answer on, with headers added, and remembers its code."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self.code: int | None = None
        self._send = send
        self._headers = headers

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.code = message["status"]
            MutableHeaders(scope=message).update(self._headers)
        await self._send(message)


def _request_id(scope: Scope) -> str:
    """Return the client's or router's request id if it is fit for a log, else a new one."""
    sent = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return sent if _SANE_ID.fullmatch(sent) else uuid.uuid4().hex
