"""What a training depends on here, as the code of a version answers it."""

import dataclasses
import json
from pathlib import Path

import pytest

from tasks.errors import ConfigError
from tasks.reproduction import facts as facts_module
from tasks.reproduction import remake as remake_module
from tasks.reproduction.facts import choose_machine, gather_facts
from tasks.reproduction.order import FACTS, RESULT, Order
from tasks.steps.training import training_key
from tasks.training.machine import Machine
from tasks.training.spec import TrainingSpec, read_spec
from tests.conftest import ROOT
from tests.reproduction.test_order import ORDER

CPU = Machine({"device": "cpu"}, {"torch": "2.13.0"})


@pytest.fixture
def order(origin, tmp_path, monkeypatch) -> Order:
    """An order of version 1's spec, on a machine that has no GPU."""

    def probe(*, device: str, threads: int) -> Machine:
        if device == "cuda":
            raise ConfigError("torch sees no GPU")
        return CPU

    monkeypatch.setattr(facts_module, "probe_machine", probe)
    (tmp_path / "spec.json").write_bytes(origin.files["spec.json"])
    return dataclasses.replace(ORDER, spec=str(tmp_path / "spec.json"))


def spec_of(order: Order) -> TrainingSpec:
    return read_spec(Path(order.spec))


def test_facts_are_the_parts_of_the_key_the_packages_and_the_code_that_ran(order):
    facts = gather_facts(order)
    key = training_key(spec_of(order), lock=ROOT / "locks/cpu.lock", machine=CPU)
    assert facts["parts"] == key.parts
    assert facts["code"] == str(ROOT)
    assert facts["device"] == "cpu"
    assert {"name", "locked", "installed", "is_as_locked"} == set(facts["packages"][0])


@pytest.mark.parametrize(
    ("recorded", "device"), [("cpu", "cpu"), ("cuda", "auto")], ids=["as recorded", "no such device here"]
)
def test_the_recorded_device_is_taken_where_there_is_one(order, recorded, device):
    assert choose_machine(recorded, 2) == (device, CPU)


def test_initial_weights_are_taken_from_where_they_are_here(order, tmp_path):
    weights = tmp_path / "start.pt"
    weights.write_text("abc")
    facts = gather_facts(dataclasses.replace(order, weights_file=str(weights)))
    assert facts["parts"]["weights_file"].startswith("ba7816bf")  # SHA-256 of abc, FIPS 180-2


def test_a_lock_that_the_code_does_not_have_is_an_error(order):
    with pytest.raises(ConfigError, match=r"no locks/tpu.lock"):
        gather_facts(dataclasses.replace(order, lock="tpu.lock"))


@pytest.mark.parametrize("module", [facts_module, remake_module], ids=["facts", "remake"])
def test_an_error_is_its_exit_code_and_one_line(module, tmp_path, capsys):
    assert module.main([str(tmp_path / "gone.json"), str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path}/gone.json is no order: ")
    assert not (tmp_path / FACTS).exists()
    assert not (tmp_path / RESULT).exists()


def test_facts_are_written(order, tmp_path):
    (tmp_path / "order.json").write_text(order.to_json())
    assert facts_module.main([str(tmp_path / "order.json"), str(tmp_path)]) == 0
    assert json.loads((tmp_path / FACTS).read_text())["parts"]["seed"] == "20261120"
