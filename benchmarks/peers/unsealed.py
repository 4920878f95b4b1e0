"""`python -m benchmarks.peers.unsealed SPEC.json OUT/`: Evergreen's own training, free to differ from run to run.

No variable and no flag of the determinism contract is set or checked, torch chooses what it likes, and no checkpoint is
written; data, loop and result are the shipped ones.
"""

import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch

from tasks.training import __main__ as entry
from tasks.training import trainer
from tasks.training.spec import read_spec

NEVER = 1_000_000_000  # steps


def free(*, seed: int, threads: int) -> None:
    """Do what any training does instead of `seal`."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True  # where determinism is not asked for, this is what one sets


def main(file: Path, out: Path) -> int:
    """Train the spec in `file` into `out` and return the exit code."""
    spec = read_spec(file)
    spec = replace(spec, execution=replace(spec.execution, checkpoint_steps=NEVER))
    file.write_text(spec.to_json())
    with mock.patch.object(trainer, "seal", free), mock.patch.object(trainer, "check_flags"):
        return entry.main([str(file), str(out)])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
