"""`python -m tasks.reproduction.facts ORDER.json OUT/`: what a training depends on here, before anything trains.

It runs in the checkout of a version, with that commit's own code. It writes OUT/facts.json: the parts of the
training's step key, each package of the lock as it is installed, and the device.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from serving.bundle.durable import write_json
from tasks.errors import ConfigError, EvergreenError
from tasks.reproduction.order import FACTS, Order, read_order
from tasks.reproduction.packages import compare_packages
from tasks.steps.training import training_key
from tasks.training.code import PROJECT
from tasks.training.machine import Machine, probe_machine
from tasks.training.spec import TrainingSpec, read_spec


def gather_facts(order: Order) -> dict[str, Any]:
    """Return what the ordered training depends on in this checkout, on this machine.

    Raises:
        ConfigError: the spec, the lock or the weights file cannot be read.
    """
    spec = local_spec(order)
    lock = PROJECT / "locks" / order.lock
    if not lock.is_file():
        raise ConfigError(f"the version's code has no locks/{order.lock}: expected the lock that it was trained with")
    device, machine = choose_machine(order.device, spec.threads)
    packages = compare_packages(lock.read_text())
    return {
        "code": str(PROJECT),
        "python": sys.executable,
        "device": device,
        "parts": dict(training_key(spec, lock=lock, machine=machine).parts),
        "packages": [dataclasses.asdict(package) for package in packages],
    }


def local_spec(order: Order) -> TrainingSpec:
    """Return the recorded spec, with the weights file where it is here.

    Raises:
        ConfigError: the spec cannot be read.
    """
    spec = read_spec(Path(order.spec))
    return dataclasses.replace(spec, recipe=dataclasses.replace(spec.recipe, weights_file=order.weights_file))


def choose_machine(device: str, threads: int) -> tuple[str, Machine]:
    """Return the device that the version was trained on, where this machine has it, else the one that there is."""
    try:
        return device, probe_machine(device=device, threads=threads)
    except ConfigError:
        return "auto", probe_machine(device="auto", threads=threads)


def main(arguments: list[str]) -> int:
    """Write the facts of the order and the folder that the arguments name, and return the exit code."""
    order_file, out = map(Path, arguments)
    try:
        write_json(out / FACTS, gather_facts(read_order(order_file)))
    except EvergreenError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
