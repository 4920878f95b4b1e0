"""`GET /metrics` for Prometheus."""

from starlette.requests import Request
from starlette.responses import Response

from serving.metrics import Metrics
from serving.routes.state import service_of


async def metrics(request: Request) -> Response:
    """Answer with all metrics in Prometheus's text format."""
    content = service_of(request).metrics.expose()
    return Response(content, headers={"content-type": Metrics.content_type})
