"""What the GPUs do, as NVIDIA's management library (NVML) tells; nothing where it or the driver is missing."""

import importlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

_LIBRARY = "pynvml"  # of nvidia-ml-py

_FIGURES: tuple[tuple[str, str, Callable[[Any, Any], float]], ...] = (
    ("memory_used_bytes", "Memory in use.", lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used),
    ("memory_size_bytes", "Memory that there is.", lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total),
    (
        "utilisation_ratio",
        "Share of the last moments in which something ran.",
        lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    ),
    (
        "temperature_celsius",
        "Temperature.",
        lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
    ),
)


class GpuCollector(Collector):
    """Memory, utilisation and temperature of each GPU that the process may see, asked when the page is."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._is_missing = False

    def collect(self) -> Iterator[Metric]:
        """Ask each GPU; a figure that one does not have is left out, and all of them where the driver has gone."""
        if self._nvml is None and not self._is_missing:
            self._nvml = _open_nvml()
            self._is_missing = self._nvml is None
        if self._nvml is not None:
            try:
                yield from _ask(self._nvml)
            except self._nvml.NVMLError as error:
                logger.debug("no figures of the GPU: %s", error)


def _open_nvml() -> Any:
    """Return the library, initialised, or None where the log says why not."""
    try:
        nvml = importlib.import_module(_LIBRARY)
        nvml.nvmlInit()
    except ImportError:
        logger.warning("no figures of the GPU: nvidia-ml-py is not installed")
        return None
    except nvml.NVMLError as error:
        logger.warning("no figures of the GPU: %s", error)
        return None
    return nvml


def _ask(nvml: Any) -> Iterator[Metric]:
    for name, documentation, figure in _FIGURES:
        family = GaugeMetricFamily(f"evergreen_gpu_{name}", documentation, labels=["gpu"])
        for number in range(nvml.nvmlDeviceGetCount()):
            try:
                value = figure(nvml, nvml.nvmlDeviceGetHandleByIndex(number))
            except nvml.NVMLError as error:  # not every GPU has every figure
                logger.debug("GPU %d: no %s: %s", number, name, error)
            else:
                family.add_metric([str(number)], value)
        if family.samples:
            yield family
