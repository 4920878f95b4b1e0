"""The figures of GPUs, from a library that pretends to have some."""

import logging
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.gpu_metrics import GpuCollector
from serving.metrics import Metrics


class FakeError(Exception):
    """What a driver says no with."""


class FakeNvml:
    """As much of pynvml as is used: a GPU at work, and one that knows its memory alone."""

    NVMLError = FakeError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self) -> None:
        self.starts = 0
        self.has_driver = True

    def nvmlInit(self) -> None:  # noqa: N802
        self._check()
        self.starts += 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._check()
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:  # noqa: N802
        return number

    def nvmlDeviceGetMemoryInfo(self, gpu: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=1000 + gpu, total=8000, free=7000 - gpu)

    def nvmlDeviceGetUtilizationRates(self, gpu: int) -> SimpleNamespace:  # noqa: N802
        if gpu == 1:
            raise FakeError("Not Supported")
        return SimpleNamespace(gpu=75, memory=20)

    def nvmlDeviceGetTemperature(self, gpu: int, sensor: int) -> int:  # noqa: N802
        if gpu == 1 or sensor != self.NVML_TEMPERATURE_GPU:
            raise FakeError("Not Supported")
        return 61

    def _check(self) -> None:
        if not self.has_driver:
            raise FakeError("Driver Not Loaded")


@pytest.fixture
def nvml(monkeypatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def read(page: bytes) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels["gpu"]): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.name.startswith("evergreen_gpu")
    }


def test_each_gpu_has_its_figures(nvml):
    assert read(Metrics(has_gpu=True).expose()) == {
        ("evergreen_gpu_memory_used_bytes", "0"): 1000,
        ("evergreen_gpu_memory_used_bytes", "1"): 1001,
        ("evergreen_gpu_memory_size_bytes", "0"): 8000,
        ("evergreen_gpu_memory_size_bytes", "1"): 8000,
        ("evergreen_gpu_utilisation_ratio", "0"): 0.75,
        ("evergreen_gpu_temperature_celsius", "0"): 61,
    }


def test_the_library_is_opened_once_and_only_for_a_page(nvml):
    metrics = Metrics(has_gpu=True)
    assert nvml.starts == 0
    for _ in range(3):
        metrics.expose()
    assert nvml.starts == 1


def test_a_server_on_the_cpu_asks_no_gpu(nvml):
    assert read(Metrics().expose()) == {}
    assert nvml.starts == 0


def test_without_the_library_the_log_says_so_once(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    collector = GpuCollector()
    assert [list(collector.collect()) for _ in range(2)] == [[], []]
    assert [record.getMessage() for record in caplog.records] == [
        "no figures of the GPU: nvidia-ml-py is not installed"
    ]


def test_without_a_driver_the_log_says_so_once(nvml, caplog):
    nvml.has_driver = False
    collector = GpuCollector()
    assert [list(collector.collect()) for _ in range(2)] == [[], []]
    assert [record.getMessage() for record in caplog.records] == ["no figures of the GPU: Driver Not Loaded"]


def test_a_driver_that_goes_takes_the_figures_along_and_nothing_else(nvml, caplog):
    metrics = Metrics(has_gpu=True)
    assert read(metrics.expose())
    nvml.has_driver = False
    caplog.set_level(logging.INFO)
    page = metrics.expose()
    assert read(page) == {}
    assert b"evergreen_ready" in page
    assert not caplog.records


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus")
def test_promtool_finds_nothing_wrong_with_them(nvml):
    page = Metrics(has_gpu=True).expose()
    assert read(page)
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
