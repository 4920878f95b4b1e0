"""`GET /metrics` for Prometheus."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from serving.metrics import Metrics
from serving.routes.state import service_of


async def metrics(request: Request) -> Response:
    """Answer with all metrics in Prometheus's text format, put together away from the event loop."""
    content = await asyncio.to_thread(service_of(request).metrics.expose)
    return Response(content, headers={"content-type": Metrics.content_type})
