"""The determinism contract's variables; apart from torch, so that a launcher need not import it."""


def environment(threads: int) -> dict[str, str]:
    """Return the variables that must be set before torch and CUDA start.

    Source: PyTorch's notes on reproducibility.
    """
    return {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",  # beside other load, threads that spin for each other are 15 times slower
        "PYTHONHASHSEED": "0",
    }
