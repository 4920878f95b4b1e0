"""Versions of one clone made again in another; and records altered where MLflow keeps them."""

import json
import shutil
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.errors import ConfigError, RegistryError
from tasks.registry.tracking import TrackedRun
from tasks.reproduce import reproduce_version
from tasks.reproduction.evidence import Weights
from tasks.reproduction.making import Made
from tasks.settings import load_settings
from tests.repositories import git


def artifacts_of(maker, version: int) -> Path:
    """Return the folder where MLflow keeps the artifacts of a version's run."""
    run = maker.registry.client.get_run(maker.registry.version(version).run_id)
    return Path(urllib.parse.urlparse(run.info.artifact_uri).path)


@pytest.fixture
def reproduce(maker, other, monkeypatch, tmp_path):
    """Reproduce in this process, where nothing gets as far as the training."""
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path / "home"))
    settings = load_settings(other.root / "evergreen.toml")
    return lambda version: reproduce_version.fn(settings, version, tracking_uri=maker.tracking_uri)


@pytest.fixture
def altered(maker) -> Iterator[Path]:
    """The artifacts of version 1's run, to be altered; they come back in the end."""
    folder = artifacts_of(maker, 1)
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    yield folder
    shutil.rmtree(folder)
    kept.rename(folder)


def test_another_clone_gets_the_same_bits(maker, other):
    printed = other.evergreen("reproduce", "1", "--tracking-uri", maker.tracking_uri, "--json")
    evidence = json.loads(printed)
    assert evidence["verdict"] == "identical"
    assert evidence["weights"]["remade"] == evidence["weights"]["recorded"]
    assert evidence["weights"]["module_remade"] == evidence["weights"]["module_recorded"]
    assert evidence["has_patch"] is True
    assert evidence["predictions"]["images"] >= 20
    assert evidence["predictions"]["equal_classes"] == evidence["predictions"]["images"]
    assert all(fact["is_same"] for fact in evidence["facts"])
    version = maker.registry.version(1)
    run = maker.registry.client.get_run(version.run_id)
    short = f"identical, {evidence['at']}, {evidence['host']}, commit {evidence['commit'][:12]}"
    assert version.tags["evergreen.reproduced"] == run.data.tags["evergreen.reproduced"] == short
    kept = sorted((artifacts_of(maker, 1) / "reproductions").iterdir())
    assert [path.suffix for path in kept] == [".json", ".md"]
    assert kept[0].read_text() == printed


def test_a_reproduction_leaves_the_clone_as_it_was(other):
    assert git(other.root, "status", "--porcelain") == ""
    assert len(git(other.root, "worktree", "list").splitlines()) == 1
    assert [path.name for path in (other.home / "reproductions").iterdir()] == ["evidence"]
    assert not (other.root / ".dvc" / "cache").exists()
    assert not (other.root / "data").exists()


def test_in_another_environment_nothing_is_called_reproduced(maker, other):
    printed = other.evergreen("reproduce", "2", "--tracking-uri", maker.tracking_uri, expect=3)
    before, _, after = printed.partition("  version.torch: recorded 1.0.0, here 2.")
    assert "2 of " in before
    assert "facts differ here: the bits cannot be expected to agree, and nothing will be called reproduced" in before
    assert "make again" not in before
    assert "environment differs: nothing is called reproduced, because here differ: version." in after
    assert maker.registry.version(2).tags["evergreen.reproduced"].startswith("environment differs, ")


def test_a_record_that_was_altered_in_mlflow_is_named_and_nothing_trains(reproduce, maker, altered):
    spec = altered / "lineage" / "spec.json"
    spec.write_text(spec.read_text().replace('"seed": 20261120', '"seed": 20261121'))
    evidence = reproduce(1)
    assert evidence.verdict == "altered"
    assert evidence.verdict.exit_code == 1
    assert evidence.findings[1].startswith("seed is 20261121 in spec.json, but 20261120 in inputs.json and ")
    assert evidence.facts == ()
    (page,) = [path for path in (altered / "reproductions").glob("*.md") if "seed is 20261121" in path.read_text()]
    assert ": altered" in page.read_text().splitlines()[0]
    assert maker.registry.version(1).tags["evergreen.reproduced"].startswith("altered, ")


def test_a_registered_module_that_was_altered_is_named(reproduce, maker):
    (module,) = Path(urllib.parse.urlparse(maker.registry.version(1).source).path).glob("artifacts/bundle/model.pt")
    content = module.read_bytes()
    module.write_bytes(content + b" ")
    try:
        (finding,) = reproduce(1).findings
    finally:
        module.write_bytes(content)
    assert "model.pt was altered: SHA-256 " in finding


def drop_first_row(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)


@pytest.mark.parametrize(
    ("alter", "expected"),
    [
        (lambda path: path.write_bytes(b"PAR1"), "holds no predictions"),
        (drop_first_row, "the kept predictions are of "),
        (lambda path: path.unlink(), ""),
    ],
    ids=["damaged", "of other images", "gone"],
)
def test_kept_predictions_that_were_altered_are_named(  # noqa: PLR0917
    reproduce, altered, tmp_path, monkeypatch, alter, expected
):
    kept = altered / "evaluation" / "predictions.parquet"
    again = tmp_path / "again.parquet"
    shutil.copy(kept, again)
    weights = Weights("w", "w", "m", "m")
    monkeypatch.setattr("tasks.reproduce.make_again", lambda making, times: Made((), (), (), weights, again))
    assert reproduce(1).verdict == "identical"
    alter(kept)
    evidence = reproduce(1)
    assert evidence.verdict == ("altered" if expected else "identical")
    assert [expected in finding for finding in evidence.findings] == [True] * bool(expected)


def test_other_bits_in_an_equal_environment_are_different(reproduce, maker, altered, monkeypatch):
    weights = Weights("w", "v", "m", "n")
    monkeypatch.setattr("tasks.reproduce.make_again", lambda making, times: Made((), (), (), weights))
    evidence = reproduce(1)
    assert (evidence.verdict, evidence.verdict.exit_code) == ("different", 1)
    assert maker.registry.version(1).tags["evergreen.reproduced"].startswith("different, ")
    (page,) = [path for path in (altered / "reproductions").glob("*.md") if ": different" in path.read_text()]
    assert "| weights, SHA-256 | w | v | **differs** |" in page.read_text()


def test_what_cannot_be_logged_is_kept(reproduce, maker, altered, tmp_path, monkeypatch):
    def refuse(run, texts, path=""):
        raise RegistryError("MLflow is away")

    (altered / "lineage" / "spec.json").unlink()
    monkeypatch.setattr(TrackedRun, "log_texts", refuse)
    with pytest.raises(RegistryError, match=r"version 1: altered, but MLflow is away; the evidence is in ") as raised:
        reproduce(1)
    kept = Path(str(raised.value).rpartition(" is in ")[2])
    assert {path.suffix for path in kept.iterdir()} == {".json", ".md"}
    assert "spec.json is gone" in next(kept.glob("*.md")).read_text()


def test_a_version_without_records_is_an_error_and_no_verdict(reproduce, maker, monkeypatch):
    version = maker.registry.version(1)
    client = maker.registry.client
    client.set_model_version_tag(version.name, "1", "evergreen.reproduced", "before")
    monkeypatch.setattr("tasks.reproduction.records.LINEAGE_TAG", "evergreen.another")
    with pytest.raises(ConfigError, match="choose another version"):
        reproduce(1)
    assert maker.registry.version(1).tags["evergreen.reproduced"] == "before"


def test_an_unknown_version_names_the_place(reproduce, maker):
    with pytest.raises(RegistryError, match=r"fashion-mnist has no version 99 at sqlite"):
        reproduce(99)
