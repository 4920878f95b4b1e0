"""What one worker's page says."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.metrics import Metrics

Page = dict[tuple, float]

FROM_THE_START = {
    "evergreen_deadline_drops_total",
    "evergreen_dispatches_total",
    "evergreen_golden_checks_total",
    "evergreen_images_total",
    "evergreen_model_errors_total",
    "evergreen_queue_images",
    "evergreen_ready",
    "evergreen_records_total",
    "evergreen_requests_in_flight",
    "evergreen_worker_restarts_total",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_resident_memory_bytes",
    *(
        f"evergreen_{name}_count"
        for name in (
            "queue_seconds", "batch_images", "batch_fill_ratio", "inference_seconds", "decode_seconds", "confidence",
        )
    ),
}  # fmt: skip
AFTER_SOMETHING = {
    "evergreen_requests_total",
    "evergreen_request_seconds_count",
    "evergreen_predictions_total",
    "evergreen_model_info",
}


def read(page: bytes) -> Page:
    """Return the values by name and labels, and make sure that nothing is there twice."""
    samples = [
        ((sample.name, *sorted(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    ]
    assert len(dict(samples)) == len(samples)
    return dict(samples)


def names(page: Page) -> set[str]:
    return {key[0] for key in page}


def edges(page: Page, name: str) -> list[float]:
    return [float(dict(key[1:])["le"]) for key in page if key[0] == f"{name}_bucket"]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_all_is_there_before_the_first_request_so_that_a_first_event_is_an_increase(metrics):
    page = read(metrics.expose())
    assert names(page) >= FROM_THE_START
    assert names(page) & AFTER_SOMETHING == set()
    results = {key[1][1] for key in page if key[0] == "evergreen_golden_checks_total"}
    assert results == {"right", "wrong"}
    assert {value for key, value in page.items() if key[0].endswith("_total") and key[0].startswith("evergreen")} == {0}


def test_nothing_is_told_twice(metrics):
    assert not [name for name in names(read(metrics.expose())) if name.endswith("_created")]


def test_answers_by_route_and_code(metrics):
    for code, seconds in ((200, 0.0009), (200, 0.3), (503, 20.0)):
        metrics.answered("/predict", code, seconds)
    metrics.answered("/v2", 200, 0.002)
    page = read(metrics.expose())
    requests = {key[1:]: value for key, value in page.items() if key[0] == "evergreen_requests_total"}
    assert requests == {
        (("code", "200"), ("route", "/predict")): 2,
        (("code", "503"), ("route", "/predict")): 1,
        (("code", "200"), ("route", "/v2")): 1,
    }
    assert page["evergreen_request_seconds_count", ("route", "/predict")] == 3
    assert page["evergreen_request_seconds_bucket", ("le", "0.001"), ("route", "/predict")] == 1
    assert page["evergreen_request_seconds_bucket", ("le", "10.0"), ("route", "/predict")] == 2
    found = sorted(set(edges(page, "evergreen_request_seconds")))
    assert (found[0], found[-2], found[-1]) == (0.001, 10, float("inf"))


def test_batches(metrics):
    metrics.dispatched("idle", 1, 8, [0.00005])
    metrics.dispatched("full", 8, 8, [0.02, 0.03, 0.3])
    metrics.inferred(0.004)
    metrics.queued(5)
    page = read(metrics.expose())
    reasons = {key[1][1]: value for key, value in page.items() if key[0] == "evergreen_dispatches_total"}
    assert reasons == {"idle": 1, "freed": 0, "full": 1}
    assert page["evergreen_batch_images_sum",] == 9
    assert page["evergreen_batch_fill_ratio_sum",] == pytest.approx(1.125)
    assert page["evergreen_batch_fill_ratio_bucket", ("le", "1.0")] == 2
    assert page["evergreen_queue_seconds_count",] == 4
    assert page["evergreen_queue_seconds_bucket", ("le", "0.0001")] == 1
    assert page["evergreen_inference_seconds_sum",] == pytest.approx(0.004)
    assert page["evergreen_queue_images",] == 5


def test_predictions_by_class(metrics):
    metrics.loaded(name="fashion", version="3", digest="abc", classes=["bag", "coat", "dress"])
    metrics.predicted(["coat", "bag", "coat"], [0.15, 0.97, 1.0])
    page = read(metrics.expose())
    counted = {key[1][1]: value for key, value in page.items() if key[0] == "evergreen_predictions_total"}
    assert counted == {"bag": 1, "coat": 2, "dress": 0}
    assert page["evergreen_confidence_count",] == 3
    assert page["evergreen_confidence_bucket", ("le", "0.2")] == 1
    assert page["evergreen_confidence_bucket", ("le", "1.0")] == 3
    assert page["evergreen_model_info", ("digest", "abc"), ("name", "fashion"), ("version", "3")] == 1


def test_what_goes_wrong(metrics):
    metrics.golden(is_right=True)
    metrics.golden(is_right=True)
    metrics.golden(is_right=False)
    metrics.model_error()
    metrics.deadline_dropped()
    metrics.recorded(3, 2)
    metrics.recorded(1, 0)
    metrics.decoded(0.5)
    page = read(metrics.expose())
    assert page["evergreen_golden_checks_total", ("result", "right")] == 2
    assert page["evergreen_golden_checks_total", ("result", "wrong")] == 1
    assert page["evergreen_model_errors_total",] == 1
    assert page["evergreen_deadline_drops_total",] == 1
    assert page["evergreen_records_total", ("result", "written")] == 4
    assert page["evergreen_records_total", ("result", "dropped")] == 2
    assert page["evergreen_decode_seconds_sum",] == 0.5


def test_readiness_is_asked_when_the_page_is(metrics):
    is_ready = False
    metrics.ready.set_function(lambda: float(is_ready))
    assert read(metrics.expose())["evergreen_ready",] == 0
    is_ready = True
    assert read(metrics.expose())["evergreen_ready",] == 1


def test_two_servers_in_one_process_do_not_collide(metrics):
    other = Metrics()
    other.model_error()
    assert read(other.expose())["evergreen_model_errors_total",] == 1
    assert read(metrics.expose())["evergreen_model_errors_total",] == 0
