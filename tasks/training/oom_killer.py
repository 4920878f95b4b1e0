"""A training that the kernel killed for want of memory: how the launcher knows, and what it advises.

The killed process can say nothing, and trying batches until one is killed too is no way to treat a machine. So a probe
process trains a few small batches, measures the memory per image, and computes what would fit.
"""

import math
import subprocess
import sys
from pathlib import Path

from tasks.training.environment import launch_environment
from tasks.training.spec import TrainingSpec, read_spec

VMSTAT, MEMINFO, STATUS = Path("/proc/vmstat"), Path("/proc/meminfo"), Path("/proc/self/status")
USABLE_SHARE = 0.8  # of the memory that is free
PROBED_SHARES = (16, 8)  # of the batch that did not fit
PROBE_LIMIT_S = 120.0


def count_kills() -> int:
    """Return how many processes the kernel has killed for want of memory; 0 where the system does not say."""
    return read_field(VMSTAT, "oom_kill")


def read_field(path: Path, name: str) -> int:
    """Return the number after `name` in a file of /proc, 0 where there is none."""
    if not path.exists():
        return 0
    lines = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    return next((int(line[1]) for line in lines if line and line[0] == name), 0)


def advise(spec: TrainingSpec, request: Path) -> str:
    """Return what to do about the training in the file `request`, which did not fit."""
    lower = f"lower training.batch_size = {spec.recipe.batch_size}"
    command = [sys.executable, "-m", "tasks.training.oom_killer", str(request)]
    environment = launch_environment(spec.threads)
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=PROBE_LIMIT_S
        )
    except subprocess.SubprocessError as error:
        return f"{lower} (a probe of what fits failed: {error})"
    fitting = int(done.stdout.splitlines()[-1])
    if fitting >= spec.recipe.batch_size:
        return "it would fit in what is free now, so something else took the memory: start the run again"
    return f"{lower}; {fitting} would fit in what is free now" if fitting else f"{lower}, or close what takes memory"


def fitting_size(sizes: tuple[int, int], peaks: tuple[int, int], *, free_bytes: int, data_bytes: int) -> int:
    """Return the batch size that fits into free memory beside the data, from the peaks in bytes of two sizes."""
    per_image = max(1.0, (peaks[1] - peaks[0]) / (sizes[1] - sizes[0]))
    without_images = peaks[0] - sizes[0] * per_image
    return max(0, math.floor((USABLE_SHARE * free_bytes - without_images - data_bytes) / per_image))


def main(arguments: list[str]) -> int:
    """Print the batch size that would fit for the spec in the file that the argument names."""
    free_bytes = read_field(MEMINFO, "MemAvailable") * 1024
    import torch  # noqa: PLC0415  # in the probe only

    from tasks.training.determinism import seal  # noqa: PLC0415
    from tasks.training.memory import SMALLEST, try_steps  # noqa: PLC0415
    from tasks.training.pixels import Rows, open_pixels  # noqa: PLC0415

    spec = read_spec(Path(arguments[0]))
    seal(seed=spec.seed, threads=spec.threads)
    first = max(SMALLEST, spec.recipe.batch_size // PROBED_SHARES[0])
    sizes = first, max(2 * first, spec.recipe.batch_size // PROBED_SHARES[1])
    peaks = []
    for size in sizes:
        try_steps(size, spec, torch.device("cpu"))  # what the kernel counts, whatever the device
        peaks.append(read_field(STATUS, "VmHWM") * 1024)
    data_bytes = min(open_pixels(Path(spec.pixels), Rows.TRAIN).images.nbytes, spec.execution.max_resident_bytes)
    print(fitting_size(sizes, (peaks[0], peaks[1]), free_bytes=free_bytes, data_bytes=data_bytes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
