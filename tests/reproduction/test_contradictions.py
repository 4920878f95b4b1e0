"""Records of a real version, altered one by one: each is found, and what it is about is named."""

import dataclasses
import json
from collections.abc import Callable

import pytest

from tasks.errors import ConfigError
from tasks.registry.lineage import LINEAGE_TAG, sha256, sums_of
from tasks.registry.origin import Origin
from tasks.reproduce import examine
from tasks.reproduction.records import read_records

Edit = Callable[[Origin], Origin]


def with_files(origin: Origin, **files: bytes | None) -> Origin:
    """Replace files of the run's lineage; None takes one away."""
    kept = {name: content for name, content in {**origin.files, **files}.items() if content is not None}
    return dataclasses.replace(origin, files=kept)


def in_json(name: str, *keys: str, value: object) -> Edit:
    """Change one value of a JSON file."""

    def edit(origin: Origin) -> Origin:
        values = inner = json.loads(origin.files[name])
        for key in keys[:-1]:
            inner = inner[key]
        assert inner[keys[-1]] != value
        inner[keys[-1]] = value
        return with_files(origin, **{name: json.dumps(values).encode()})

    return edit


def in_text(name: str, old: bytes, new: bytes) -> Edit:
    """Change some text of a file."""

    def edit(origin: Origin) -> Origin:
        assert old in origin.files[name]
        return with_files(origin, **{name: origin.files[name].replace(old, new)})

    return edit


def in_tags(**tags: str) -> Edit:
    """Change tags of the run."""
    named = {f"evergreen.{name.replace('__', '.')}": value for name, value in tags.items()}
    return lambda origin: dataclasses.replace(origin, tags={**origin.tags, **named})


def in_version_tags(**tags: str) -> Edit:
    """Change tags of the version."""
    named = {f"evergreen.{name}": value for name, value in tags.items()}
    return lambda origin: dataclasses.replace(
        origin, version=dataclasses.replace(origin.version, tags={**origin.version.tags, **named})
    )


def in_params(**params: str) -> Edit:
    """Change parameters of the run."""
    return lambda origin: dataclasses.replace(origin, params={**origin.params, **params})


def in_contract(**values: object) -> Edit:
    """Change the bundle's contract."""

    def edit(origin: Origin) -> Origin:
        contract = dataclasses.replace(origin.bundle.contract, **values)
        return dataclasses.replace(origin, bundle=dataclasses.replace(origin.bundle, contract=contract))

    return edit


def and_sums(edit: Edit) -> Edit:
    """Write SHA256SUMS anew after an edit, as one would who knows of it."""

    def edit_both(origin: Origin) -> Origin:
        edited = edit(origin)
        listed = {name: content for name, content in edited.files.items() if name in origin.files and name[0] != "S"}
        del listed["data.dvc.txt"]
        return with_files(edited, SHA256SUMS=sums_of(listed))

    return edit_both


def and_run_tag(edit: Edit) -> Edit:
    """Tag the run with the SHA-256 of the new SHA256SUMS too."""

    def edit_all(origin: Origin) -> Origin:
        edited = and_sums(edit)(origin)
        tag = sha256(edited.files["SHA256SUMS"])
        return dataclasses.replace(edited, tags={**edited.tags, LINEAGE_TAG: tag})

    return edit_all


def test_what_was_not_altered_agrees_with_itself(origin):
    records, findings = examine(origin)
    assert findings == ()
    assert records is not None
    assert records.patch
    assert records.spec["seed"] == 20261120
    assert records.inputs["training.epochs"] == "1"
    assert records.lock_name == "cpu.lock"
    assert records.data_remote.endswith("maker-home/dvc-remote")


EPOCHS = in_json("spec.json", "recipe", "epochs", value=9)
SEED = in_json("spec.json", "seed", value=7)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            EPOCHS,
            [
                "spec.json was changed: its SHA-256 is ",
                "training.epochs is 9 in spec.json, but 1 in inputs.json and the run's parameters",
            ],
        ),
        (and_sums(EPOCHS), ["the SHA-256 of SHA256SUMS is ", "training.epochs is 9 in spec.json, but 1 in inputs"]),
        (and_run_tag(EPOCHS), ["the SHA-256 of SHA256SUMS is ", "training.epochs is 9 in spec.json, but 1 in inputs"]),
        (SEED, ["spec.json was changed", "seed is 7 in spec.json, but 20261120 in inputs.json and the run's param"]),
        (in_json("inputs.json", "seed", value="7"), ["inputs.json was changed", "seed is 20261120 in spec.json and"]),
        (in_tags(seed="7"), ["seed is 20261120 in spec.json and inputs.json and the run's parameters, but 7 in the"]),
        (in_params(learning_rate="0.02"), ["training.learning_rate is 0.01 in spec.json and inputs.json, but 0.02"]),
        (in_params(flip="False"), ["training.flip is true in spec.json and inputs.json, but False in the run's"]),
        (in_json("settings.json", "training", "epochs", value=9), ["settings.json was changed: its SHA-256 is "]),
        (in_text("working-tree.patch", b"7681", b"7682"), ["working-tree.patch was changed: its SHA-256 is "]),
        (lambda origin: with_files(origin, **{"working-tree.patch": None}), ["working-tree.patch is gone", "whether"]),
        (lambda origin: with_files(origin, **{"extra.json": b"{}"}), ["extra.json was added: SHA256SUMS does not"]),
        (in_text("cpu.lock", b"torch==2.13.0", b"torch==2.12.0"), ["cpu.lock was changed", "the lock's SHA-256 is "]),
        (in_tags(lock_sha256="0" * 64), ["the lock's SHA-256 is "]),
        (in_json("lineage.json", "commit", value="0" * 40), ["lineage.json was changed", "the commit is 0000000"]),
        (in_tags(git_commit="0" * 40), ["the commit is "]),
        (in_tags(git_dirty="false"), ["whether the code had uncommitted changes is true in the run's files, but f"]),
        (in_tags(version__torch="2.0.0"), ["version.torch is 2.13.0"]),
        (in_tags(hardware__machine="riscv"), ["hardware.machine is "]),
        (in_tags(weights_sha256="0" * 64), ["the weights' SHA-256 is "]),
        (in_contract(data_digest="0" * 64), ["the data's digest is "]),
        (in_contract(classes=("a", "b")), ['classes is ["ankle-boot"']),
        (in_text("data.dvc.txt", b".dir", b"0.dir"), ["the data's md5 is "]),
        (in_text("data.dvc.txt", b"digest: ", b"digest: 0"), ["the data's digest is "]),
        (in_tags(dvc_md5="0.dir", data_digest="0" * 64), ["the data's digest is ", "the data's md5 is "]),
        (in_version_tags(data_digest="0" * 64), ["the data's digest is "]),
        (in_version_tags(lineage_sha256="0" * 64), ["the SHA-256 of SHA256SUMS is "]),
        (in_version_tags(run="another"), ["the run is "]),
        (lambda origin: dataclasses.replace(origin, bundle_problem="model.pt was altered"), ["model.pt was altered"]),
    ],
)
def test_an_altered_record_is_found_and_named(origin, edit, expected):
    _, findings = examine(edit(origin))
    assert len(findings) == len(expected), findings
    for finding, start in zip(findings, expected, strict=True):
        assert finding.startswith(start), findings


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda origin: with_files(origin, **{"spec.json": None}), "spec.json: gone from the run's lineage"),
        (lambda origin: with_files(origin, **{"spec.json": b"{"}), "Expecting property name"),
        (lambda origin: with_files(origin, **{"inputs.json": b"[]"}), "inputs.json holds list, not an object"),
        (lambda origin: with_files(origin, **{"lineage.json": b"{}"}), "not what a run writes: KeyError('commit')"),
        (lambda origin: with_files(origin, **{"data.dvc.txt": b"x"}), "not what a run writes: DataError("),
        (lambda origin: with_files(origin, **{"cpu.lock": None}), "not what a run writes: KeyError('cpu.lock')"),
    ],
)
def test_records_that_cannot_be_read_are_named(origin, edit, problem):
    records, findings = examine(edit(origin))
    assert records is None
    assert problem in findings[-1]


def test_a_version_from_before_lineage_was_kept_is_told_apart(origin):
    tags = {name: value for name, value in origin.tags.items() if name != LINEAGE_TAG}
    others = {name: value for name, value in origin.version.tags.items() if name != LINEAGE_TAG}
    version = dataclasses.replace(origin.version, tags=others)
    with pytest.raises(ConfigError, match=r"version 1 of fashion-mnist keeps no record .* choose another version"):
        read_records(dataclasses.replace(origin, tags=tags, version=version, files={}))
