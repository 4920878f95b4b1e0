"""A version made again up to where its code would run: what is refused, what is said, what is passed on."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from tasks import progress
from tasks.errors import ConfigError, TrainingError
from tasks.progress import StageTimes
from tasks.reproduce import examine
from tasks.reproduction import making as making_module
from tasks.reproduction.environment import NotInstalledError
from tasks.reproduction.making import Making, Runner, choose_python, find_weights_file, make_again
from tasks.reproduction.order import read_order
from tasks.reproduction.packages import Package
from tasks.reproduction.remake import remake
from tests.reproduction.test_restore import alter_image, object_of

SAME_WEIGHTS = {"weights_sha256": "w", "module_sha256": "m", "registered_module_sha256": "m"}


@pytest.fixture
def making(maker, other, origin, tmp_path, monkeypatch) -> Making:
    """Version 1, about to be made again in the other clone."""
    monkeypatch.setattr(making_module, "PROJECT", other.root)
    records, _ = examine(origin)
    return Making(
        records=records,
        folder=tmp_path,
        data_remote=records.data_remote,
        data_root=other.root,
        bundle=origin.bundle,
        may_install=True,
    )


@pytest.fixture
def answers(making, monkeypatch) -> dict:
    """What the version's code answers, in place of its processes: by default, all as recorded."""
    given = {
        "facts.json": {"parts": dict(making.records.inputs), "packages": []},
        "result.json": {"findings": [], "data": {"md5": making.records.dvc_md5, "digest": making.records.data_digest,
                                                 "files": 2, "images": 300, "place": "there"}, **SAME_WEIGHTS},
    }  # fmt: skip
    monkeypatch.setattr(Runner, "run", lambda runner, module, order, answer: answer_of(given, runner, answer))
    return given


def answer_of(given: dict, runner: Runner, answer: str) -> dict:
    """Return what is given as an answer of the code that the runner has."""
    return {"code": str(runner.code), **given[answer]}


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """What a person is told."""
    lines: list[str] = []
    monkeypatch.setattr(progress, "say", lines.append)
    return lines


def test_facts_are_told_before_anything_trains(making, answers, said, monkeypatch):
    told_before_training = []

    def run(runner, module, order, answer):
        if answer == "result.json":
            told_before_training.extend(said)
        return answer_of(answers, runner, answer)

    monkeypatch.setattr(Runner, "run", run)
    answers["facts.json"]["packages"] = [
        {"name": "numpy", "locked": "2.4.6", "installed": "2.4.6", "is_as_locked": True},
        {"name": "pillow", "locked": "12.0", "installed": "11.0", "is_as_locked": False},
    ]
    made = make_again(making, StageTimes())
    assert told_before_training[0].startswith("1 of ")
    assert told_before_training[1:] == ["  package.pillow: recorded 12.0, here 11.0"]
    assert made.weights is not None
    assert made.weights.recorded == making.bundle.contract.weights_sha256
    names = {fact.name for fact in made.facts}
    assert {"commit", "code", "seed", "training.epochs", "version.torch", "package.pillow"} <= names
    assert made.predictions == making.folder / "predictions.parquet"


def test_the_version_is_made_by_its_own_code(making, answers, monkeypatch):
    seen = {}

    def run(runner, module, order, answer):
        secret = (runner.code / "tasks/training/secret.py").read_text()
        seen[module] = (runner.code, secret, read_order(order))
        return answer_of(answers, runner, answer)

    monkeypatch.setattr(Runner, "run", run)
    make_again(making, StageTimes())
    assert list(seen) == ["tasks.reproduction.facts", "tasks.reproduction.remake"]
    code, secret, order = seen["tasks.reproduction.remake"]
    assert code.is_relative_to(making.folder)
    assert not code.exists()
    assert "7681" in secret
    assert json.loads(Path(order.spec).read_text()) == json.loads(making.records.spec_json)
    assert (order.device, order.lock, order.dvc_md5) == ("cpu", "cpu.lock", making.records.dvc_md5)


@pytest.mark.parametrize(
    ("part", "value", "finding"),
    [
        ("training.epochs", "9", "training.epochs: recorded 1, here 9 by the recorded code"),
        ("seed", "7", "seed: recorded 20261120, here 7 by the recorded code"),
        ("code", "0" * 64, "code: recorded "),
        ("lock", "0" * 64, "lock: recorded "),
        ("data", "0" * 64, "data: recorded "),
    ],
)
def test_what_the_recorded_code_contradicts_stops_before_training(making, answers, part, value, finding):
    answers["facts.json"]["parts"][part] = value
    del answers["result.json"]
    made = make_again(making, StageTimes())
    assert made.weights is None
    (found,) = made.findings
    assert found.startswith(finding)


def test_another_code_than_the_recorded_must_not_answer(making, answers):
    answers["facts.json"]["code"] = "/usr/lib/elsewhere"
    with pytest.raises(TrainingError, match=r"the code in /usr/lib/elsewhere ran, expected that in .*/code"):
        make_again(making, StageTimes())


def test_an_image_that_was_changed_in_the_remote_stops_before_training(making, answers, maker, tmp_path, monkeypatch):
    remote = tmp_path / "remote"
    shutil.copytree(making.data_remote, remote)
    shard = next((maker.root / "data").glob("*.parquet"))
    before, _ = alter_image(shard, object_of(remote, shard))
    out = tmp_path / "out"
    out.mkdir()

    def run(runner, module, order, answer):
        return remake(read_order(order), out) if answer == "result.json" else answer_of(answers, runner, answer)

    monkeypatch.setattr(Runner, "run", run)
    made = make_again(dataclasses.replace(making, data_remote=str(remote)), StageTimes())
    assert made.weights is None
    changed, image = made.findings
    assert changed.startswith(f"{shard.name} was changed: its md5 is ")
    assert image.startswith(f"{shard.name}: image {before} (")
    assert not (out / "training").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"commit": "none"}, "made outside git"),
        ({"commit": "0" * 40}, r"does not have commit 000000000000.*`git fetch`"),
        ({"unkept_changes": ("big.bin: 90.0 MB",)}, r"its code is lost: big.bin: 90.0 MB"),
    ],
)
def test_code_that_is_not_to_be_had_is_named(making, answers, changes, message):
    records = dataclasses.replace(making.records, **changes)
    with pytest.raises(ConfigError, match=message):
        make_again(dataclasses.replace(making, records=records), StageTimes())


def test_initial_weights_are_found_by_their_digest(making, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    recorded = tmp_path / "elsewhere" / "start.pt"
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of abc, FIPS 180-2
    spec = {**making.records.spec, "recipe": {**making.records.spec["recipe"], "weights_file": str(recorded)}}
    inputs = {**making.records.inputs, "weights_file": digest}
    records = dataclasses.replace(making.records, spec=spec, inputs=inputs)
    (root / "start.pt").write_text("other")
    with pytest.raises(ConfigError, match=rf"elsewhere/start.pt with SHA-256 {digest}.* put that file at .*root/start"):
        find_weights_file(records, root)
    (root / "start.pt").write_text("abc")
    assert find_weights_file(records, root) == str(root / "start.pt")
    recorded.parent.mkdir()
    recorded.write_text("abc")
    assert find_weights_file(records, root) == str(recorded)
    assert find_weights_file(making.records, root) == ""


OTHERS = (Package("torch", "2.13.0", "2.12.0", is_as_locked=False), Package("numpy", "2", "2", is_as_locked=True))


@pytest.mark.parametrize(
    ("packages", "may_install", "outcome", "is_installed", "note"),
    [
        (OTHERS[1:], True, "", False, ""),
        (
            OTHERS,
            True,
            "",
            True,
            "1 of 2 packages here are not those of the recorded lock (torch 2.13.0, here 2.12.0); it w",
        ),
        (OTHERS, True, "no network", False, "and it cannot be installed: no network"),
        (OTHERS, False, "", False, "it was not to be installed"),
    ],
    ids=["as the lock", "installed", "cannot be installed", "not wanted"],
)
def test_the_lock_is_installed_where_other_packages_are(  # noqa: PLR0917
    making, monkeypatch, packages, may_install, outcome, is_installed, note
):
    def install(code: Path, python_version: str) -> Path:
        assert python_version == making.records.versions["python"]
        if outcome:
            raise NotInstalledError(outcome)
        return code / "python"

    monkeypatch.setattr(making_module, "compare_packages", lambda lock: packages)
    monkeypatch.setattr(making_module, "install_lock", install)
    python, notes = choose_python(dataclasses.replace(making, may_install=may_install), Path("/checkout"))
    assert (python == Path("/checkout/python")) is is_installed
    assert len(notes) == bool(note)
    assert note in "".join(notes)
