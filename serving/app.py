"""The ASGI application: which path goes where, and how errors are told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving.errors import RequestError, UnavailableError
from serving.observer import Observer
from serving.routes import protocol
from serving.routes.metrics import metrics
from serving.routes.predict import predict
from serving.routes.state import service_of
from serving.service import Service

Endpoint = Callable[[Request], Awaitable[Response]]

_RETRY_AFTER_S = 1


def create_app(service: Service) -> Starlette:
    """Return the application over `service`, whose model it begins to load when the server starts."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        loading = asyncio.create_task(service.load())
        yield
        loading.cancel()
        service.close()

    app = Starlette(
        routes=_routes(),
        lifespan=lifespan,
        middleware=[Middleware(Observer, service=service)],
        exception_handlers={RequestError: _refuse, HTTPException: _no_route},
    )
    app.router.redirect_slashes = False
    app.state.service = service
    return app


def _routes() -> list[Route]:
    model = "/v2/models/{name}"
    version = model + "/versions/{version}"
    return [
        Route("/predict", _limited(predict), methods=["POST"]),
        Route("/metrics", metrics),
        Route("/v2", protocol.server_metadata),
        Route("/v2/health/live", protocol.live),
        Route("/v2/health/ready", protocol.ready),
        *(Route(path, protocol.model_metadata) for path in (model, version)),
        *(Route(f"{path}/ready", protocol.model_ready) for path in (model, version)),
        *(Route(f"{path}/infer", _limited(protocol.infer), methods=["POST"]) for path in (model, version)),
    ]


def _limited(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that refuses at once what it could only queue."""

    async def limited(request: Request) -> Response:
        service = service_of(request)
        limit = service.settings.max_in_flight
        if service.in_flight > limit:
            raise UnavailableError(f"{limit} requests are in flight, the limit; try again or elsewhere")
        return await endpoint(request)

    return limited


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    """Tell a client what is wrong with its request."""
    code = error.status if isinstance(error, RequestError) else RequestError.status
    headers = {"retry-after": str(_RETRY_AFTER_S)} if code == UnavailableError.status else None
    return _error(request, code, str(error), headers)


async def _no_route(request: Request, error: Exception) -> JSONResponse:
    """Tell of an unknown path or method in the same form as every other error."""
    code, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    reason = error.detail if isinstance(error, HTTPException) else "error"
    return _error(request, code, f"{request.method} {request.url.path}: {reason}", headers)


def _error(request: Request, code: int, message: str, headers: object) -> JSONResponse:
    content = {"error": message, "request_id": request.state.request_id}
    return JSONResponse(content, status_code=code, headers=headers)  # type: ignore[arg-type]
