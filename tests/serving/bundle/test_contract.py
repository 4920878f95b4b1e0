import dataclasses

import pytest

from serving.bundle.contract import Contract, bundle_digest, describe_file, read_contract, write_contract

CONTRACT = Contract(
    classes=("bag", "coat"),
    channels=1,
    size_px=28,
    embedding_size=8,
    architecture="tiny",
    weights_sha256="a" * 64,
    data_digest="b" * 64,
    temperature=1.5,
    tolerance=0.0005,
    files=(),
)


@pytest.fixture
def contract(tmp_path) -> Contract:
    (tmp_path / "model.pt").write_bytes(b"module")
    return dataclasses.replace(CONTRACT, files=(describe_file(tmp_path, "model.pt", is_served=True),))


def test_a_contract_is_read_as_it_was_written(tmp_path, contract):
    digest = write_contract(tmp_path, contract)
    assert read_contract(tmp_path) == contract
    assert digest == bundle_digest(tmp_path)
    assert write_contract(tmp_path, contract) == digest
    assert sorted(file.name for file in tmp_path.iterdir()) == ["contract.json", "model.pt"]


@pytest.mark.parametrize(
    "change", [{"temperature": 1.0}, {"classes": ("coat", "bag")}, {"data_digest": "c" * 64}, {"tolerance": 0.1}]
)
def test_any_change_changes_the_digest(tmp_path, contract, change):
    assert write_contract(tmp_path, contract) != write_contract(tmp_path, dataclasses.replace(contract, **change))


def test_a_change_of_a_file_changes_the_digest(tmp_path, contract):
    before = write_contract(tmp_path, contract)
    (tmp_path / "model.pt").write_bytes(b"Module")
    changed = dataclasses.replace(contract, files=(describe_file(tmp_path, "model.pt", is_served=True),))
    assert write_contract(tmp_path, changed) != before
