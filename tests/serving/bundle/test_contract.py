import dataclasses
import json

import pytest

from serving.bundle.contract import (
    BundleError,
    Contract,
    bundle_digest,
    describe_file,
    read_contract,
    write_contract,
)

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


def edit(folder, contract, change):
    """Write the contract, and then what `change` makes of its JSON."""
    write_contract(folder, contract)
    path = folder / "contract.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../model.pt", "golden/../../model.pt", "..", "C:\\model.pt", "C:model.pt", "..\\model.pt"]
)
def test_a_file_outside_the_bundle_is_refused(tmp_path, contract, path):
    edit(tmp_path, contract, lambda values: values["files"][0].update(path=path))
    with pytest.raises(BundleError, match=r"files\[0\] has path .*; expected a path inside the bundle") as refused:
        read_contract(tmp_path)
    assert repr(path) in str(refused.value)


def test_names_that_only_look_like_a_way_out_are_read(tmp_path, contract):
    edit(tmp_path, contract, lambda values: values["files"][0].update(path="golden/..000.png"))
    assert read_contract(tmp_path).files[0].path == "golden/..000.png"


@pytest.mark.parametrize("text", ["[]", "null", "3", '"contract"'])
def test_json_that_is_no_object_is_refused(tmp_path, text):
    (tmp_path / "contract.json").write_text(text)
    with pytest.raises(BundleError, match=r"contract\.json holds \w+, not an object"):
        read_contract(tmp_path)


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe", b""], ids=["cut", "not text", "empty"])
def test_what_is_no_json_is_refused(tmp_path, data):
    (tmp_path / "contract.json").write_bytes(data)
    with pytest.raises(BundleError, match=r"contract\.json is not JSON"):
        read_contract(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("classes", "bag", "a list of texts"),
        ("classes", [1], "a list of texts"),
        ("channels", "1", "a whole number"),
        ("channels", True, "a whole number"),
        ("size_px", 28.5, "a whole number"),
        ("embedding_size", -1, "a whole number"),
        ("architecture", None, "a text"),
        ("temperature", "warm", "a finite number"),
        ("tolerance", float("nan"), "a finite number"),  # no difference is above it: nothing would be checked
        ("tolerance", False, "a finite number"),
        ("files", {"model.pt": 1}, "a list of objects"),
        ("files", ["model.pt"], "a list of objects"),
    ],
)
def test_a_field_of_another_type_is_refused(tmp_path, contract, name, value, expected):
    edit(tmp_path, contract, lambda values: values.update({name: value}))
    with pytest.raises(BundleError, match=rf"contract\.json has {name} .*; expected {expected}"):
        read_contract(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"), [("path", 1), ("sha256", None), ("size_bytes", "6"), ("size_bytes", True), ("is_served", 1)]
)
def test_a_files_field_of_another_type_is_refused(tmp_path, contract, name, value):
    edit(tmp_path, contract, lambda values: values["files"][0].update({name: value}))
    with pytest.raises(BundleError, match=rf"files\[0\] has {name} .*; expected "):
        read_contract(tmp_path)


def test_a_number_may_be_whole(tmp_path, contract):
    edit(tmp_path, contract, lambda values: values.update(temperature=1))
    assert read_contract(tmp_path).temperature == 1


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Contract)])
def test_every_field_is_needed(tmp_path, contract, field):
    edit(tmp_path, contract, lambda values: values.pop(field))
    with pytest.raises(BundleError, match=f"lacks {field}|has format None"):
        read_contract(tmp_path)


def test_unknown_fields_are_named(tmp_path, contract):
    edit(tmp_path, contract, lambda values: values["files"][0].update(mode=420, owner="root"))
    with pytest.raises(BundleError, match=r"files\[0\] has fields that this code does not know: mode, owner"):
        read_contract(tmp_path)
