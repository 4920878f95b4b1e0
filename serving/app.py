"""The ASGI applications: which path goes where, and how errors are told."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from serving.admission import Admission
from serving.errors import DeadlinePassedError, RequestError, SlowRequestError, UnauthorizedError, UnavailableError
from serving.golden_watch import watch_golden
from serving.observer import Observer
from serving.prediction import ModelError
from serving.routes import protocol
from serving.routes.feedback import feedback
from serving.routes.metrics import metrics
from serving.routes.openapi import openapi
from serving.routes.predict import predict
from serving.routes.state import service_of
from serving.service import Service

logger = logging.getLogger(__name__)

_MODEL = "/v2/models/{name}"
_VERSION = _MODEL + "/versions/{version}"
_HEADERS: dict[type[Exception], dict[str, str]] = {
    UnauthorizedError: {"www-authenticate": "Bearer"},
    SlowRequestError: {"connection": "close"},  # the rest of the request would be taken for the next one
    UnavailableError: {"retry-after": "1"},  # second
}


def create_app(service: Service) -> Starlette:
    """Return the application over `service`, whose model it begins to load when the server starts."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(_load(service)), asyncio.create_task(watch_golden(service))]
        yield
        for task in tasks:
            task.cancel()
        service.close()

    routes = [*_prediction_routes(service), *_health_routes(), *_model_routes(service)]
    if not service.settings.admin_port:
        routes.append(Route("/metrics", metrics))
    app = _make(service, routes)
    app.router.lifespan_context = lifespan
    return app


def create_admin_app(service: Service) -> Starlette:
    """Return the application for operators, on a port of its own: metrics and health."""
    return _make(service, [*_health_routes(), Route("/metrics", metrics)])


async def _load(service: Service) -> None:
    await service.load()
    gc.freeze()  # what torch brings stays: to look through it took 60 ms of everyone's time, on 2 slow cores


def _make(service: Service, routes: Sequence[Route]) -> Starlette:
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Observer, service=service)],
        exception_handlers={RequestError: _refuse, HTTPException: _no_route},
    )
    app.router.redirect_slashes = False
    app.state.service = service
    return app


def _prediction_routes(service: Service) -> list[Route]:
    predicts = [Middleware(Admission, service=service, is_prediction=True)]
    return [
        Route("/predict", predict, methods=["POST"], middleware=predicts),
        *(Route(f"{path}/infer", protocol.infer, methods=["POST"], middleware=predicts) for path in (_MODEL, _VERSION)),
    ]


def _health_routes() -> list[Route]:
    return [Route("/v2/health/live", protocol.live), Route("/v2/health/ready", protocol.ready)]


def _model_routes(service: Service) -> list[Route]:
    return [
        Route("/v2", protocol.server_metadata),
        *(Route(path, protocol.model_metadata) for path in (_MODEL, _VERSION)),
        *(Route(f"{path}/ready", protocol.model_ready) for path in (_MODEL, _VERSION)),
        Route(
            "/feedback",
            feedback,
            methods=["POST"],
            middleware=[Middleware(Admission, service=service, is_prediction=False)],
        ),
        Route("/openapi.json", openapi),
    ]


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    """Tell a client why its request is not answered; what the model said about itself is for the log alone."""
    code = error.status if isinstance(error, RequestError) else RequestError.status
    message = str(error)
    if isinstance(error, DeadlinePassedError):
        service_of(request).metrics.deadline_dropped()
    if isinstance(error.__cause__, ModelError):
        request_id = request.state.request_id
        logger.error("the model failed: %s", error.__cause__, extra={"request_id": request_id})
        message = f"{message}; the server's log has it as {request_id}"
    return _error(request, code, message, _HEADERS.get(type(error)))


async def _no_route(request: Request, error: Exception) -> JSONResponse:
    """Tell of an unknown path or method in the same form as every other error."""
    code, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    reason = error.detail if isinstance(error, HTTPException) else "error"
    return _error(request, code, f"{request.method} {request.url.path}: {reason}", headers)


def _error(request: Request, code: int, message: str, headers: Mapping[str, str] | None) -> JSONResponse:
    content = {"error": message, "request_id": request.state.request_id}
    return JSONResponse(content, status_code=code, headers=headers)
