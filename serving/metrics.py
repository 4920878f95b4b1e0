"""What Prometheus reads from /metrics: one server's metrics, whether one worker counts or several do.

On a request's path a metric is one look into a dictionary: what a label needs is bound when it is first seen.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from serving.gpu_metrics import GpuCollector
from serving.worker_metrics import FOLDER_VARIABLE, PROCESS, AskedGauge, WorkersCollector, join_workers

_REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PART_S = (0.0001, 0.00025, 0.0005, *_REQUEST_S)  # of a request
_BATCH_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)
_FILL = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

Key = TypeVar("Key")
Bound = TypeVar("Bound")


class _Bound(dict[Key, Bound], Generic[Key, Bound]):
    """Metrics with their labels' values, each made when it is first asked for."""

    def __init__(self, bind: Callable[[Key], Bound]) -> None:
        super().__init__()
        self._bind = bind

    def __missing__(self, key: Key) -> Bound:
        bound = self[key] = self._bind(key)
        return bound


class Metrics:
    """One server's metrics in a registry of their own, so that two servers in one process do not collide.

    Where the environment names a folder for several workers' metrics, `expose` tells those of all of them.
    """

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, *, has_gpu: bool = False) -> None:
        disable_created_metrics()  # a second series for each, which nobody asks for
        self.registry = CollectorRegistry()
        folder = os.environ.get(FOLDER_VARIABLE)
        is_replacement = join_workers(Path(folder)) if folder else False
        own = None if folder else self.registry  # what several workers count is read from their files
        self._make_request_metrics(own)
        self._make_batch_metrics(own)
        self._make_model_metrics(own)
        self.ready = AskedGauge("evergreen_ready", "1 when the server is ready, else 0.", self.registry)
        restarts = Counter("evergreen_worker_restarts", "Workers that took a dead one's place.", registry=own)
        restarts.inc(is_replacement)
        if folder:
            Gauge(PROCESS, "Process id.", registry=None, multiprocess_mode="liveall").set(os.getpid())
            self.registry.register(WorkersCollector(Path(folder)))
        else:
            ProcessCollector(registry=self.registry)
        if has_gpu:
            self.registry.register(GpuCollector())

    def _make_request_metrics(self, registry: CollectorRegistry | None) -> None:
        requests = Counter("evergreen_requests", "Requests answered.", ["route", "code"], registry=registry)
        seconds = Histogram(
            "evergreen_request_seconds",
            "Seconds from a request's arrival to the end of its answer.",
            ["route"],
            buckets=_REQUEST_S,
            registry=registry,
        )
        self._answered: _Bound[tuple[str, int], tuple[Counter, Histogram]] = _Bound(
            lambda key: (requests.labels(*key), seconds.labels(key[0]))
        )
        self.in_flight = Gauge(
            "evergreen_requests_in_flight", "Requests being answered.", registry=registry, multiprocess_mode="livesum"
        )
        self._decode = Histogram(
            "evergreen_decode_seconds", "Seconds to read a request's images.", buckets=_PART_S, registry=registry
        )
        self._deadline_drops = Counter(
            "evergreen_deadline_drops", "Requests whose time was over before they were computed.", registry=registry
        )
        records = Counter("evergreen_records", "Records for the prediction log.", ["result"], registry=registry)
        self._written, self._dropped = records.labels("written"), records.labels("dropped")

    def _make_batch_metrics(self, registry: CollectorRegistry | None) -> None:
        histogram = partial(Histogram, registry=registry)
        self._queue = histogram("evergreen_queue_seconds", "Seconds that a request waited.", buckets=_PART_S)
        self._batch = histogram("evergreen_batch_images", "Images of a batch.", buckets=_BATCH_IMAGES)
        self._fill = histogram("evergreen_batch_fill_ratio", "Images of a batch, of its limit.", buckets=_FILL)
        self._inference = histogram("evergreen_inference_seconds", "Seconds for a batch.", buckets=_PART_S)
        dispatches = Counter("evergreen_dispatches", "Batches, by why they went.", ["reason"], registry=registry)
        self._dispatches = {reason: dispatches.labels(reason) for reason in ("idle", "freed", "full")}
        self._waiting = Gauge(
            "evergreen_queue_images", "Images that wait.", registry=registry, multiprocess_mode="livesum"
        )

    def _make_model_metrics(self, registry: CollectorRegistry | None) -> None:
        counter = partial(Counter, registry=registry)
        self.images = counter("evergreen_images", "Images predicted.")
        self._model_errors = counter("evergreen_model_errors", "Failures of the model.")
        self._golden = counter("evergreen_golden_checks", "Golden answers asked for.", ["result"])
        self._right, self._wrong = self._golden.labels("right"), self._golden.labels("wrong")
        predictions = counter("evergreen_predictions", "Images predicted, by their most probable class.", ["label"])
        self._predictions: _Bound[str, Counter] = _Bound(predictions.labels)
        self._confidence = Histogram(
            "evergreen_confidence", "Most probable classes' probabilities.", buckets=_CONFIDENCE, registry=registry
        )
        self.model = Gauge(
            "evergreen_model_info",
            "1, with the model served.",
            ["name", "version", "digest"],
            registry=registry,
            multiprocess_mode="livemax",
        )

    def loaded(self, *, name: str, version: str, digest: str, classes: Sequence[str]) -> None:
        """Tell the model, and begin to count its classes: those never predicted have zero."""
        self.model.labels(name, version, digest).set(1)
        for label in classes:
            self._predictions[label].inc(0)

    def answered(self, route: str, code: int, seconds: float) -> None:
        """Count an answer; `route` is the pattern of its path, of which there are few."""
        requests, histogram = self._answered[route, code]
        requests.inc()
        histogram.observe(seconds)

    def dispatched(self, reason: str, images: int, limit: int, queue_seconds: Sequence[float]) -> None:
        """Count a batch that goes to the model, and what its requests waited."""
        self._dispatches[reason].inc()
        self._batch.observe(images)
        self._fill.observe(images / limit)
        for seconds in queue_seconds:
            self._queue.observe(seconds)

    def queued(self, images: int) -> None:
        """Say how many images wait."""
        self._waiting.set(images)

    def inferred(self, seconds: float) -> None:
        """Count the time of a batch in the model."""
        self._inference.observe(seconds)

    def decoded(self, seconds: float) -> None:
        """Count the time that it took to read a request's images."""
        self._decode.observe(seconds)

    def predicted(self, labels: Sequence[str], confidences: Sequence[float]) -> None:
        """Count each image's most probable class, and how probable it is."""
        for label, confidence in zip(labels, confidences, strict=True):
            self._predictions[label].inc()
            self._confidence.observe(confidence)

    def golden(self, *, is_right: bool) -> None:
        """Count a golden check."""
        (self._right if is_right else self._wrong).inc()

    def model_error(self) -> None:
        """Count a failure of the model."""
        self._model_errors.inc()

    def deadline_dropped(self) -> None:
        """Count a request that waited too long."""
        self._deadline_drops.inc()

    def recorded(self, written: int, dropped: int) -> None:
        """Count records that reached the prediction log, and those that did not."""
        self._written.inc(written)
        self._dropped.inc(dropped)

    def expose(self) -> bytes:
        """Return all metrics in Prometheus's text format; some milliseconds' work, for any thread."""
        return generate_latest(self.registry)
