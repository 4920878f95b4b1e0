"""What Prometheus reads from /metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One server's metrics in a registry of their own, so that two servers in one process do not collide."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "evergreen_requests", "Requests answered.", ["route", "code"], registry=self.registry
        )  # exposed as evergreen_requests_total
        self.seconds = Histogram(
            "evergreen_request_seconds",
            "Seconds from a request's arrival to the end of its answer.",
            ["route"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.in_flight = Gauge("evergreen_requests_in_flight", "Requests being answered.", registry=self.registry)
        self.images = Counter("evergreen_images", "Images predicted.", registry=self.registry)
        self.ready = Gauge("evergreen_ready", "1 when the server is ready, else 0.", registry=self.registry)
        self.model = Gauge(
            "evergreen_model_info", "1, with the model served.", ["name", "version", "digest"], registry=self.registry
        )
        ProcessCollector(registry=self.registry)

    def expose(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)
