"""How many cores this process may use: the machine's, less what affinity and control groups take away."""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")

_MOST_WORKERS = 4  # each holds torch and the model: some 300 MB


def count_cores(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Return the number of cores, at least 1; of a quota of one and a half, 2.

    The quota is the least that the process's control group or one above it has, in version 2 or 1. `cgroups` is where
    they are mounted: in a container its own group is the root there, whatever path `membership` names.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.ceil(min([cores, *_quotas(cgroups, _read(membership))])))


def divide_cores(cores: int, *, workers: int, threads: int, device: str) -> tuple[int, int]:
    """Return how many workers and how many torch threads for each; 0 stands for what is not said.

    A small model gains more from processes than from threads: each worker has its own interpreter. A GPU has one.
    """
    if not workers:
        workers = 1 if device != "cpu" else max(1, min(cores // (threads or 1), _MOST_WORKERS))
    return workers, threads or max(1, cores // workers)


def _quotas(cgroups: Path, membership: str) -> Iterator[float]:
    """Yield all quotas in cores; a line of `membership` is "NUMBER:CONTROLLERS:PATH", in version 2 "0::PATH"."""
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _quotas_up(cgroups, path, _quota_v2)
        elif "cpu" in controllers.split(","):
            yield from _quotas_up(cgroups / "cpu", path, _quota_v1)


def _quotas_up(mount: Path, path: str, read: Callable[[Path], float]) -> Iterator[float]:
    """Yield the quotas of a group, of those above it and of the root; one that is not there has none."""
    group = mount / path.strip("/")
    for folder in (group, *group.parents):
        if folder.is_relative_to(mount):
            yield read(folder)


def _quota_v2(group: Path) -> float:
    """Return the quota in cores; `cpu.max` holds "MICROSECONDS|max PERIOD"."""
    words = _read(group / "cpu.max").split()
    return int(words[0]) / int(words[1]) if len(words) == 2 and words[0] != "max" else math.inf


def _quota_v1(group: Path) -> float:
    """Return the quota in cores; -1 is none."""
    quota, period = (_read(group / name) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
    return int(quota) / int(period) if quota and period and int(quota) > 0 else math.inf


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
