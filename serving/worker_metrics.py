"""Several workers' metrics as one page: each worker counts in files of its own, and whoever is asked adds them up.

The folder of the files and the worker's name come by the environment, from the process that starts the workers. The
name is that of a place, not of a process: who replaces a dead worker takes its name, and its counters go on.

Source: https://prometheus.github.io/client_python/multiprocess/
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
WORKER_VARIABLE = "SERVING_WORKER"
PROCESS = "evergreen_worker_process"  # a gauge in the files, not on the page: the worker's process id


def worker_environment(folder: Path, worker: int) -> dict[str, str]:
    """Return the variables with which worker number `worker` is started, to count in `folder` together with others."""
    return {FOLDER_VARIABLE: str(folder), WORKER_VARIABLE: str(worker)}


def forget_worker(folder: Path, worker: int) -> None:
    """Take away the gauges of a worker that has ended: nothing is in flight there. What it counted stays."""
    mark_process_dead(worker, str(folder))


def join_workers(folder: Path, environment: Mapping[str, str] = os.environ) -> bool:
    """Let every metric that this process makes from now on be counted in `folder`.

    Returns whether this worker replaces another, whose counters it goes on with.
    """
    worker = environment.get(WORKER_VARIABLE) or str(os.getpid())
    is_replacement = (folder / f"counter_{worker}.db").exists()
    mark_process_dead(worker, str(folder))
    values.ValueClass = values.MultiProcessValue(lambda: worker)
    return is_replacement


class WorkersCollector(Collector):
    """Everything that the workers counted, and the figures of their processes, each under its worker's name."""

    def __init__(self, folder: Path) -> None:
        self._files = MultiProcessCollector(None, str(folder))

    def collect(self) -> Iterator[Metric]:
        """Read all files anew."""
        for family in self._files.collect():
            if family.name == PROCESS:
                yield from _process_figures({sample.labels["pid"]: int(sample.value) for sample in family.samples})
            else:
                yield family


class AskedGauge(Collector):
    """A gauge whose value is asked for when the page is: no worker has to write it down for the others."""

    def __init__(self, name: str, documentation: str, registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._ask: Callable[[], float] = float
        registry.register(self)

    def set_function(self, ask: Callable[[], float]) -> None:
        """Say where the value comes from; any thread may ask."""
        self._ask = ask

    def collect(self) -> Iterator[Metric]:
        """Ask."""
        yield GaugeMetricFamily(self._name, self._documentation, value=self._ask())


def _process_figures(processes: Mapping[str, int]) -> Iterable[Metric]:
    """Return CPU seconds, memory and files of each process; never their sum, which would sink when one ends."""
    families: dict[str, Metric] = {}
    for worker, process in sorted(processes.items()):
        for family in ProcessCollector(pid=lambda process=process: process, registry=None).collect():  # type: ignore[misc]
            joint = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            joint.samples += [sample._replace(labels={"worker": worker}) for sample in family.samples]
    return families.values()
