"""What of a machine the bits depend on, asked of a fresh process like the one that trains.

`python -m tasks.training.machine DEVICE THREADS` prints it as JSON.
"""

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass

from tasks.errors import ConfigError, EvergreenError, TrainingError
from tasks.training.environment import launch_environment


@dataclass(frozen=True)
class Machine:
    """A hardware class and the versions of what computes there: machines that are equal give the same bits."""

    hardware: dict[str, str]
    versions: dict[str, str]

    @property
    def is_cuda_build(self) -> bool:
        """Whether torch was built for GPUs, be there one or not."""
        return self.versions["cuda"] != "none"


def probe_machine(*, device: str, threads: int) -> Machine:
    """Return this machine as a training on `device` (auto, cpu, cuda) with so many threads would find it.

    torch is not imported here, but in a process of its own, with the contract's variables.

    Raises:
        ConfigError: cuda is wanted and there is none.
        TrainingError: the process failed.
    """
    command = [sys.executable, "-m", "tasks.training.machine", device, str(threads)]
    done = subprocess.run(command, env=launch_environment(threads), capture_output=True, text=True, check=False)
    said = done.stderr.strip().splitlines()
    if done.returncode == ConfigError.exit_code:
        raise ConfigError(said[-1])
    if done.returncode:
        raise TrainingError(
            f"{' '.join(command[1:])} ended with code {done.returncode}: {said[-1] if said else 'it said nothing'}; "
            "see whether `import torch` works there"
        )
    return Machine(**json.loads(done.stdout.splitlines()[-1]))


def main(arguments: list[str]) -> int:
    """Print the machine for `arguments` DEVICE THREADS and return the exit code."""
    from tasks.training.determinism import seal, versions  # noqa: PLC0415  # torch: only in the process that is asked
    from tasks.training.hardware import choose_device, hardware_class  # noqa: PLC0415

    device, threads = arguments[0], int(arguments[1])
    try:
        seal(seed=0, threads=threads)
        machine = Machine(hardware_class(choose_device(device), threads), versions())
    except EvergreenError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(dataclasses.asdict(machine)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
