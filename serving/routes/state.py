"""What every route asks of a request."""

from typing import cast

from starlette.requests import Request

from serving.service import Service


def service_of(request: Request) -> Service:
    """Return the service that the request's application was made with."""
    return cast("Service", request.app.state.service)


def media_type(request: Request) -> str:
    """Return the request's content type without parameters, in lower case; empty where it has none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
