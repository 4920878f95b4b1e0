"""The memory of a family of processes, and of GPUs."""

import subprocess
import sys

import pytest

from benchmarks.memory import MemoryWatch, family, pss_bytes, used_gpu_bytes

MIB = 2**20
HOLD = f"held = bytearray({200 * MIB}); print('held', flush=True); input()"


def test_the_peak_is_of_the_process_and_its_children(monkeypatch):
    monkeypatch.setattr("benchmarks.memory.SAMPLE_S", 0.01)
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}])"
    with (
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        MemoryWatch(process.pid) as watch,
    ):
        assert process.stdout.readline() == b"held\n"
        while watch.peak_bytes < 200 * MIB:
            assert watch.is_alive()
        process.stdin.close()
        process.wait()
    assert watch.peak_bytes < 400 * MIB
    assert pss_bytes(process.pid) == 0
    assert family(process.pid) == []


def test_the_memory_of_gpus_is_as_the_driver_says(tmp_path, monkeypatch):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\nprintf '1200\\n34\\n'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert used_gpu_bytes() == 1234 * MIB


@pytest.mark.parametrize("has_gpus", [True, False])
def test_gpus_are_asked_only_where_there_are_some(monkeypatch, has_gpus):
    asked = []
    monkeypatch.setattr("benchmarks.memory.shutil.which", lambda _: "/usr/bin/nvidia-smi" if has_gpus else None)
    monkeypatch.setattr("benchmarks.memory.used_gpu_bytes", lambda: asked.append(1) or 0)
    MemoryWatch(1)
    assert bool(asked) is has_gpus
