"""How many cores there are, and how workers and threads share them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.cores import count_cores, divide_cores

V2 = "0::/system.slice/evergreen.service\n"
V1 = "4:memory:/docker/f00\n3:cpu,cpuacct:/docker/f00\n"


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


@pytest.fixture
def count(tmp_path):
    """Count the cores of a machine whose control groups are these files."""

    def count(membership: str, files: dict[str, str]) -> int:
        for name, text in files.items():
            (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "cgroup" / name).write_text(text + "\n")
        (tmp_path / "membership").write_text(membership)
        return count_cores(tmp_path / "cgroup", tmp_path / "membership")

    return count


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000"}, 1),
        ("0::/\n", {"cpu.max": "3200000 100000"}, 16),
        ("0::/\n", {"cpu.max": "max 100000"}, 16),
        ("0::/\n", {}, 16),
        ("", {}, 16),
        (V2, {"system.slice/evergreen.service/cpu.max": "300000 100000"}, 3),
        (V2, {"system.slice/evergreen.service/cpu.max": "max 100000", "system.slice/cpu.max": "500000 100000"}, 5),
        (V2, {"system.slice/cpu.max": "500000 100000", "cpu.max": "400000 100000"}, 4),
        (V2, {"other.slice/cpu.max": "100000 100000"}, 16),
        (V1, {"cpu/docker/f00/cpu.cfs_quota_us": "250000", "cpu/docker/f00/cpu.cfs_period_us": "100000"}, 3),
        (V1, {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "50000"}, 5),
        (V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 16),
        (V1, {"memory/docker/f00/cpu.cfs_quota_us": "1", "memory/docker/f00/cpu.cfs_period_us": "1"}, 16),
    ],
    ids=[
        "two of a container", "a core and a half", "a tenth", "more than there are", "no quota", "no file",
        "no control groups", "the group's own", "that of the group above", "the least counts", "another's",
        "version 1", "version 1 of a container", "version 1 without a quota", "another controller's",
    ],
)  # fmt: skip
def test_the_quota_limits_the_cores(count, membership, files, cores):
    assert count(membership, files) == cores


def test_affinity_limits_the_cores(count, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert count("0::/\n", {"cpu.max": "800000 100000"}) == 2


def test_without_affinity_the_machine_s_cores_count(count, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert count("", {}) == 6


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes have no affinity here")
def test_a_process_that_is_held_to_one_core_has_one():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from serving.cores import count_cores; print(count_cores())"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert ended.stdout == "1\n"


@pytest.mark.parametrize(
    ("cores", "workers", "threads", "device", "expected"),
    [
        (1, 0, 0, "cpu", (1, 1)),
        (2, 0, 0, "cpu", (2, 1)),
        (4, 0, 0, "cpu", (4, 1)),
        (16, 0, 0, "cpu", (4, 4)),
        (16, 0, 8, "cpu", (2, 8)),
        (2, 0, 4, "cpu", (1, 4)),
        (8, 1, 0, "cpu", (1, 8)),
        (2, 3, 0, "cpu", (3, 1)),
        (8, 2, 3, "cpu", (2, 3)),
        (16, 0, 0, "cuda", (1, 16)),
    ],
)
def test_workers_and_threads_by_cores(cores, workers, threads, device, expected):
    assert divide_cores(cores, workers=workers, threads=threads, device=device) == expected
