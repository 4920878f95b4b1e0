"""What a run came from: code, lock, settings, inputs, hardware and versions; enough to make it again.

All of it is kept with the run below `lineage/`. `SHA256SUMS` there (as `sha256sum --check` reads it) holds the others,
and its own SHA-256 stands as a tag of the run and of the version: a later edit of one file is found and named.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import ConfigError
from tasks.registry.git import WorkingTree, read_commit, read_working_tree

FOLDER = "lineage"  # of a run's artifacts
SPEC = "spec.json"
SETTINGS = "settings.json"
INPUTS = "inputs.json"
FACTS = "lineage.json"
PATCH = "working-tree.patch"
SUMS = "SHA256SUMS"
DVC_TEXT = "data.dvc.txt"  # logged with the dataset; the digest in it is one of the inputs
NO_COMMIT = "none"

COMMIT_TAG = "evergreen.git_commit"
DIRTY_TAG = "evergreen.git_dirty"
LOCK_TAG = "evergreen.lock_sha256"
LINEAGE_TAG = "evergreen.lineage_sha256"
HARDWARE_TAG = "evergreen.hardware."
VERSION_TAG = "evergreen.version."


@dataclass(frozen=True)
class Lineage:
    """The origin of a run; `tree` is what the code's working tree had beyond `commit`, "none" outside git.

    `inputs` are the parts of the training's step key, one fact each; `lock` is the dependency lock's file.
    """

    commit: str
    tree: WorkingTree
    lock_name: str
    lock: bytes
    settings_json: str
    spec_json: str
    inputs: Mapping[str, str]
    data_remote: str
    hardware: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def tags(self) -> dict[str, str]:
        """The short facts, as tags of a run."""
        return {
            COMMIT_TAG: self.commit,
            DIRTY_TAG: str(not self.tree.is_clean).lower(),
            LOCK_TAG: sha256(self.lock),
            LINEAGE_TAG: sha256(self.files[SUMS]),
            **{f"{HARDWARE_TAG}{name}": value for name, value in self.hardware.items()},
            **{f"{VERSION_TAG}{name}": value for name, value in self.versions.items()},
        }

    @property
    def files(self) -> dict[str, bytes]:
        """The long facts, as files of a run: name -> content, SHA256SUMS as the last."""
        facts = {
            "commit": self.commit,
            "unkept_changes": self.tree.unkept,
            "lock": self.lock_name,
            "lock_sha256": sha256(self.lock),
            "data_remote": self.data_remote,
            "weights_file_sha256": self.inputs.get("weights_file", ""),
            "hardware": dict(self.hardware),
            "versions": dict(self.versions),
        }
        files = {
            SPEC: self.spec_json.encode(),
            SETTINGS: self.settings_json.encode(),
            INPUTS: to_text(dict(self.inputs)),
            FACTS: to_text(facts),
            self.lock_name: self.lock,
        }
        if self.tree.patch:
            files[PATCH] = self.tree.patch
        return {**files, SUMS: sums_of(files)}


def read_lineage(
    root: Path,
    *,
    lock: Path,
    settings_json: str,
    spec_json: str,
    inputs: Mapping[str, str],
    data_remote: str,
    hardware: Mapping[str, str],
    versions: Mapping[str, str],
) -> Lineage:
    """Return the lineage of a run of the code in the clone `root` with the dependency lock `lock`.

    Read it before the training begins: who edits the code meanwhile edits what the patch is made of.

    Raises:
        ConfigError: the lock cannot be read.
    """
    try:
        lock_text = lock.read_bytes()
    except OSError as error:
        raise ConfigError(f"the dependency lock {lock} cannot be read: {error}; restore it from git") from error
    commit = read_commit(root)
    return Lineage(
        commit=commit or NO_COMMIT,
        tree=read_working_tree(root) if commit else WorkingTree(),
        lock_name=lock.name,
        lock=lock_text,
        settings_json=settings_json,
        spec_json=spec_json,
        inputs=inputs,
        data_remote=data_remote,
        hardware=hardware,
        versions=versions,
    )


def sums_of(files: Mapping[str, bytes]) -> bytes:
    """Return the text of SHA256SUMS: a line for each file, by name."""
    return "".join(f"{sha256(files[name])}  {name}\n" for name in sorted(files)).encode()


def parse_sums(content: bytes) -> dict[str, str]:
    """Return file name -> SHA-256 of a SHA256SUMS; what is no such line is left out, and its digest tells of it."""
    pairs = (line.split("  ", 1) for line in content.decode(errors="replace").splitlines())
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def sha256(content: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def to_text(values: Mapping[str, object]) -> bytes:
    """Return values as JSON for people."""
    return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()
