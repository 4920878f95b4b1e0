"""Who is compared: each is a command that trains a spec and reports its steps and epochs as JSON lines."""

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tasks.training.environment import environment

ROOT = Path(__file__).parents[1]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
WAITING = "GOMP_SPINCOUNT"  # how long threads spin while they wait for each other: libgomp's default, or the contract's


@dataclass(frozen=True)
class Contender:
    """One way to train: the module that does it, whether it is Evergreen's, and whether it waits as Evergreen does."""

    key: str
    title: str
    module: str
    is_ours: bool
    waits_as_ours: bool

    def command(self, spec: Path, out: Path) -> list[str]:
        """Return the command that trains the spec in the file `spec`; Evergreen leaves its result in `out`."""
        return [sys.executable, "-m", self.module, str(spec), *([str(out)] if self.is_ours else [])]

    def variables(self, threads: int) -> dict[str, str]:
        """Return the process's variables: this one's, with as many threads for all."""
        contract = environment(threads)
        world = {name: value for name, value in os.environ.items() if name != WAITING}
        world["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), world.get("PYTHONPATH")]))
        names = (*THREADS, WAITING) if self.waits_as_ours else THREADS
        return {**world, **{name: contract[name] for name in names}}


LOOP = "benchmarks.peers.textbook"
TEXTBOOK = Contender("a", "textbook PyTorch", LOOP, is_ours=False, waits_as_ours=False)
PATIENT = Contender("a'", f"the same with our {WAITING}", LOOP, is_ours=False, waits_as_ours=True)
LIGHTNING = Contender("b", "Lightning", "benchmarks.peers.lightning_loop", is_ours=False, waits_as_ours=False)
FREE = Contender("c", "Evergreen, not deterministic", "benchmarks.peers.unsealed", is_ours=True, waits_as_ours=True)
SHIPPED = Contender("d", "Evergreen as shipped", "tasks.training.run", is_ours=True, waits_as_ours=True)


def contenders() -> tuple[Contender, ...]:
    """Return who can be measured here: Lightning is left out where it is not installed, and that is said."""
    if importlib.util.find_spec("lightning"):
        return TEXTBOOK, PATIENT, LIGHTNING, FREE, SHIPPED
    print("(b) Lightning is left out, because it is not installed: uv pip install --group benchmarks", file=sys.stderr)
    return TEXTBOOK, PATIENT, FREE, SHIPPED
