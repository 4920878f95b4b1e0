"""The determinism contract's variables; apart from torch, so that a launcher need not import it."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

# What chooses instructions, kernels, algorithms, precision or threads: another value gives other bits.
NUMERIC_PREFIXES = (
    "DNNL_", "ONEDNN_",  # oneDNN: convolutions on the CPU
    "MKL_", "OPENBLAS_",  # matrix products
    "KMP_", "OMP_", "GOMP_",  # threads, and with them the order of sums
    "ATEN_", "TORCH_", "PYTORCH_",  # torch's own: ATEN_CPU_CAPABILITY, TORCH_ALLOW_TF32_CUBLAS_OVERRIDE, ...
    "CUBLAS", "CUDNN_", "NVIDIA_TF32_OVERRIDE",  # matrix products and convolutions on a GPU
    "GLIBC_TUNABLES",  # the C library's variants of exp and log
)  # fmt: skip
HARMLESS = frozenset({
    "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING",  # where memory comes from
    "TORCH_CPP_LOG_LEVEL", "TORCH_HOME", "TORCH_LOGS", "TORCH_SHOW_CPP_STACKTRACES",  # folders and messages
})  # fmt: skip


def environment(threads: int) -> dict[str, str]:
    """Return the variables that must be set before torch and CUDA start.

    Source: PyTorch's notes on reproducibility; for the spinning libgomp's manual, and benchmarks/RESULTS.md.
    """
    return {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "MKL_DYNAMIC": "FALSE",  # by default MKL takes fewer threads where it sees fewer cores
        "OMP_DYNAMIC": "FALSE",
        "GOMP_SPINCOUNT": "1000",  # by default threads spin 300,000 times for each other: ruinous beside other load
        "PYTHONHASHSEED": "0",
    }


def foreign_variables(names: Collection[str], threads: int) -> list[str]:
    """Return those of a process's variables that may change the weights and are not the contract's."""
    contract = environment(threads)
    return sorted(
        name for name in names if name.startswith(NUMERIC_PREFIXES) and name not in HARMLESS and name not in contract
    )


def sealed_environment(present: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return the variables `present` without the foreign ones, with the contract's over them."""
    foreign = foreign_variables(present, threads)
    return {name: value for name, value in present.items() if name not in foreign} | environment(threads)


def launch_environment(threads: int) -> dict[str, str]:
    """Return a fresh process's variables: this one's but those that change the bits, with the contract's over them."""
    root = str(Path(__file__).parents[2])  # so that the package is found from any folder
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    # Safe: a folder `tasks` where the process happens to start, as in another clone, is not this code.
    return {**sealed_environment(os.environ, threads), "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
