"""The determinism contract's variables; apart from torch, so that a launcher need not import it."""


def environment(threads: int) -> dict[str, str]:
    """Return the variables that must be set before torch and CUDA start.

    Source: PyTorch's notes on reproducibility.
    """
    return {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "GOMP_SPINCOUNT": "1000",  # by default threads spin 300,000 times for each other: ruinous beside other load
        "PYTHONHASHSEED": "0",
    }
