"""A version made again from its records: code, environment, facts, data, training; and what was found on the way."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.bundle.contract import MODULE, file_sha256
from serving.bundle.durable import read_json
from tasks import progress
from tasks.errors import ConfigError
from tasks.evaluation.bundle import Bundle
from tasks.registry.lineage import NO_COMMIT
from tasks.reproduction.answers import compare_answer, compare_weights, data_facts, data_note
from tasks.reproduction.differences import Fact, describe_differences, record_differences
from tasks.reproduction.environment import NotInstalledError, install_lock
from tasks.reproduction.evidence import Weights
from tasks.reproduction.launch import Event, run_module
from tasks.reproduction.order import FACTS, ORDER, PREDICTIONS, RESULT, Order
from tasks.reproduction.packages import Package, compare_packages
from tasks.reproduction.records import Records
from tasks.reproduction.worktree import check_out
from tasks.training.code import PROJECT

FACTS_MODULE = "tasks.reproduction.facts"
REMAKE_MODULE = "tasks.reproduction.remake"
MAKING = "make again"  # the stage
_SHOWN_PACKAGES = 5


@dataclass(frozen=True)
class Making:
    """How a version is made again: in the new folder `folder`, with the data from `data_remote`.

    `data_root` is a project with a .dvc folder, `bundle` the registered one.
    """

    records: Records
    folder: Path
    data_remote: str
    data_root: Path
    bundle: Bundle
    may_install: bool


@dataclass(frozen=True)
class Made:
    """What came of it. `weights` and `predictions` are None where something was found altered: nothing trained."""

    facts: tuple[Fact, ...]
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    weights: Weights | None = None
    predictions: Path | None = None


def make_again(making: Making, times: progress.StageTimes) -> Made:
    """Check the code out, see what differs here, say so, and train unless the records prove altered.

    Raises:
        ConfigError: the code or the weights file is not to be had here.
        DataError: the data is not to be had.
        TrainingError: no model came out.
    """
    records = making.records
    check_can_be_made(records)
    weights_file = find_weights_file(records, making.data_root)
    with check_out(PROJECT, records.commit, records.patch, making.folder) as code:
        with times.measure("environment"):
            python, notes = choose_python(making, code)
        with times.measure("facts"):
            runner = Runner(making.folder, code, python)
            order = write_order(making, weights_file)
            answer = runner.run(FACTS_MODULE, order, FACTS)
        facts = compare_answer(records, code, answer)
        for line in describe_differences(facts):
            progress.say(line)
        if contradictions := record_differences(facts):
            return Made(facts, tuple(f"{fact} by the recorded code" for fact in contradictions), notes)
        with times.measure(MAKING):
            result = runner.run(REMAKE_MODULE, order, RESULT)
    if result["findings"]:
        return Made(facts, tuple(result["findings"]), notes)
    return Made(
        facts=(*facts, *data_facts(records, result["data"])),
        findings=(),
        notes=(*notes, data_note(result["data"])),
        weights=compare_weights(making.bundle.contract.weights_sha256, result),
        predictions=making.folder / PREDICTIONS,
    )


def check_can_be_made(records: Records) -> None:
    """Check that the code of a version was kept.

    Raises:
        ConfigError: it was not: no commit, or changes that were too large.
    """
    if records.commit == NO_COMMIT:
        raise ConfigError("the version was made outside git, so there is no commit to go back to: choose another one")
    if records.unkept_changes:
        raise ConfigError(
            f"the version was made of commit {records.commit[:12]} with changes that could not be kept, "
            f"so its code is lost: {', '.join(records.unkept_changes)}"
        )


def find_weights_file(records: Records, root: Path) -> str:
    """Return where the initial weights are here, by their SHA-256; "" where the training had none.

    Raises:
        ConfigError: they are neither where they were, nor in the project's folder.
    """
    recorded, digest = str(records.spec["recipe"]["weights_file"]), records.inputs.get("weights_file", "")
    if not recorded:
        return ""
    places = (Path(recorded), root / Path(recorded).name)
    for place in places:
        if place.is_file() and file_sha256(place) == digest:
            return str(place)
    raise ConfigError(
        f"the training began from {recorded} with SHA-256 {digest}, which is not there: put that file at {places[1]}"
    )


def choose_python(making: Making, code: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the interpreter to use, and what a reader must know: this one where its packages are those of the lock.

    Where they are not, the recorded lock is installed into the checkout; if that cannot be, this one it is.
    """
    records, here = making.records, Path(sys.executable)
    packages = compare_packages(records.lock.decode(errors="replace"))
    others = [package for package in packages if not package.is_as_locked]
    if not others:
        return here, ()
    what = f"{len(others)} of {len(packages)} packages here are not those of the recorded lock ({name_some(others)})"
    if not making.may_install:
        return here, (f"{what}; it was not to be installed",)
    progress.update("environment", detail=f"installing the recorded {records.lock_name}")
    try:
        return install_lock(code, records.versions.get("python", "")), (f"{what}; it was installed for this",)
    except NotInstalledError as error:
        return here, (f"{what}, and it cannot be installed: {error}",)


def name_some(packages: list[Package]) -> str:
    """Return some packages with both versions."""
    shown = [f"{package.name} {package.locked}, here {package.installed}" for package in packages[:_SHOWN_PACKAGES]]
    return "; ".join([*shown, *(["..."] if len(packages) > _SHOWN_PACKAGES else [])])


def write_order(making: Making, weights_file: str) -> Path:
    """Write what the recorded code is asked for, and return the file."""
    records, spec = making.records, making.folder / "spec.json"
    spec.write_bytes(records.spec_json)
    order = Order(
        spec=str(spec),
        weights_file=weights_file,
        device=records.hardware.get("device", "auto"),
        lock=records.lock_name,
        dvc_md5=records.dvc_md5,
        data_digest=records.data_digest,
        data_remote=making.data_remote,
        data_root=str(making.data_root),
        module=str(making.bundle.folder / MODULE),
        tolerance=making.bundle.contract.tolerance,
    )
    path = making.folder / ORDER
    path.write_text(order.to_json())
    return path


@dataclass(frozen=True)
class Runner:
    """Runs modules of the code in `code` by the interpreter `python`; they write into `folder`."""

    folder: Path
    code: Path
    python: Path

    def run(self, module: str, order: Path, answer: str) -> Mapping[str, Any]:
        """Run a module on an order, show what it reports, and return what it wrote to the file `answer`."""
        run_module(
            module,
            [str(order), str(self.folder)],
            python=self.python,
            code=self.code,
            out=self.folder,
            on_event=show,
        )
        return read_json(self.folder / answer) or {}


def show(event: Event) -> None:
    """Show what the recorded code reports; what this code does not know is not shown."""
    match event["event"]:
        case "stage":
            progress.update(MAKING, event["done"], event["total"], event["stage"])
        case "step":
            progress.update(MAKING, event["step"], event["steps"], "train")
        case "epoch":
            accuracy = event["validation_accuracy"]
            progress.update(MAKING, detail=f"train, epoch {event['epoch']}: validation accuracy {accuracy:.4f}")
