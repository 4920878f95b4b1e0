"""The server runs with the versions that the pipeline was tested with."""

from pathlib import Path

import pytest

LOCKS = Path(__file__).parents[2] / "locks"
GPU_ONLY = ("nvidia-", "cuda-", "triton==")


def lines(name: str) -> set[str]:
    return set((LOCKS / name).read_text().splitlines())


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_a_serving_lock_is_part_of_the_pipelines(kind):
    serving = lines(f"serving-{kind}.lock")
    assert {"torch", "numpy", "pillow", "starlette", "uvicorn", "httptools"} <= {
        line.split("==")[0] for line in serving
    }
    assert serving <= lines(f"{kind}.lock")


def test_the_cpu_lock_is_the_gpu_lock_without_the_gpu():
    assert lines("serving-cpu.lock") == {
        line for line in lines("serving-gpu.lock") if not line.startswith(GPU_ONLY)
    }  # fmt: skip
