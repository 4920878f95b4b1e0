"""Trainer processes to which something happens at a chosen step."""

import subprocess
import sys
from pathlib import Path

from tasks.training.environment import launch_environment
from tasks.training.result import REQUEST
from tasks.training.spec import TrainingSpec

MAIN = "import sys; from tasks.training.__main__ import main; sys.exit(main(sys.argv[1:]))"
AT_STEP = """
import os, signal
from tasks.training.step import Stepper
inner = Stepper.step
def step(self, images, labels):
    loss = inner(self, images, labels)
    if self.done == {step}:
        while not all(map(os.path.exists, {awaited})):
            pass
        os.kill(os.getpid(), signal.{name})
    return loss
Stepper.step = step
"""
WRITING = """
import os, signal
from tasks.training import checkpoint
inner = checkpoint.replacing
def replacing(path):
    if path.name.startswith("{step:09d}"):
        path.with_name(".draft-half").write_bytes(b"half of a checkpoint")
        os.kill(os.getpid(), signal.SIGKILL)
    return inner(path)
checkpoint.replacing = replacing
"""


def signal_at(step: int, name: str, *awaited: Path) -> str:
    """Return the code that makes a trainer send itself a signal after `step` steps, once the files are there."""
    return AT_STEP.format(step=step, name=name, awaited=[str(path) for path in awaited])


def killed_writing(step: int) -> str:
    """Return the code that kills a trainer while it writes the checkpoint of `step`."""
    return WRITING.format(step=step)


def run_trainer(spec: TrainingSpec, out: Path, prelude: str = "") -> subprocess.CompletedProcess[str]:
    """Run a trainer after the code `prelude`, in a process of its own."""
    out.mkdir(parents=True, exist_ok=True)
    request = out / REQUEST
    request.write_text(spec.to_json())
    command = [sys.executable, "-c", f"{prelude}\n{MAIN}", str(request), str(out)]
    environment = launch_environment(spec.threads)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
