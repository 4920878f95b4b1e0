"""`GET /openapi.json`: what this server takes and answers, for tools."""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from serving.openapi import build_document
from serving.routes.state import service_of


async def openapi(request: Request) -> JSONResponse:
    """Answer with the OpenAPI document, which names the model's classes: 503 before the model is loaded."""
    service = service_of(request)
    paths = {route.path for route in request.app.routes if isinstance(route, Route)}
    return JSONResponse(build_document(service.model.contract, service.settings, paths))
