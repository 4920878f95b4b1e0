"""What an earlier start left in a training's folder: a result to reuse, a checkpoint to go on from, or neither.

Whatever is not used is removed, and the reason told: half a training is never taken for one, nor another one.
"""

import fcntl
import os
import pickle
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from serving.bundle.durable import DRAFT, read_json, write_json
from tasks.errors import TrainingError
from tasks.training.checkpoint import FOLDER, SUFFIX, Checkpoint, CheckpointError, read_checkpoint
from tasks.training.events import Report
from tasks.training.identity import differences, digest_of
from tasks.training.result import CHATTER, RESULT, WEIGHTS, TrainedModel, check_files, read_result, weights_sha256

IDENTITY = "identity.json"
LOCK = "lock"
OF_THE_LAUNCHER = frozenset({*CHATTER, LOCK})
LOCK_LIMIT_S = 60.0  # a training that lost its listener sees it within a step, and then writes a checkpoint
LOCK_POLL_S = 0.1


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Hold the folder's lock for the block; the kernel frees it when the process dies, however it dies.

    Raises:
        TrainingError: another training holds it, and goes on doing so.
    """
    deadline = time.monotonic() + LOCK_LIMIT_S
    with (out / LOCK).open("a+") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    stream.seek(0)
                    holder = stream.read().strip() or "unknown"
                    raise TrainingError(f"{out} is in use by process {holder}: wait for it, or stop it") from error
                time.sleep(LOCK_POLL_S)
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def take_over(out: Path, identity: Mapping[str, str], report: Report) -> TrainedModel | Checkpoint | None:
    """Return the result of this training in `out`, else its newest sound checkpoint, else None for an empty folder."""
    if other := what_differs(out, identity):
        clear(out)
        report({"event": "discarded", "reason": other})
    write_json(out / IDENTITY, dict(identity))
    result = find_result(out, report)
    return result if result is not None else find_checkpoint(out / FOLDER, digest_of(identity), report)


def what_differs(out: Path, identity: Mapping[str, str]) -> str:
    """Return why what stands in `out` is of another training, or nothing where it is not, or where nothing stands."""
    if not any(path.name not in OF_THE_LAUNCHER for path in out.iterdir()):
        return ""
    try:
        found = read_json(out / IDENTITY)
    except (OSError, ValueError) as error:
        return f"{error}: what stands there cannot be told apart from another training's"
    if found is None:
        return f"{out} holds no {IDENTITY}: what stands there cannot be told apart from another training's"
    if found != identity:
        return f"{out} holds another training; what differs: {differences(found, identity)}"
    return ""


def clear(out: Path) -> None:
    """Remove all in a training's folder but what its launcher has open."""
    for path in out.iterdir():
        if path.name in OF_THE_LAUNCHER:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def find_result(out: Path, report: Report) -> TrainedModel | None:
    """Return the result in `out` once its files and its weights are seen to be what result.json says."""
    if not (out / RESULT).exists():
        return None
    try:
        result = read_result(out)
        check_result(result)
    except TrainingError as error:
        (out / RESULT).unlink()
        report({"event": "discarded", "reason": f"the result is damaged: {error}"})
        return None
    shutil.rmtree(out / FOLDER, ignore_errors=True)  # of a training that was killed after its result stood
    return result


def check_result(result: TrainedModel) -> None:
    """Check a result's files, and that the weights themselves have the SHA-256 that it is known by.

    Raises:
        TrainingError: a file or a weight is another one.
    """
    check_files(result.folder)
    path = result.folder / WEIGHTS
    try:
        found = weights_sha256(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error
    if found != result.weights_sha256:
        raise TrainingError(f"{path} holds weights {found}, expected {result.weights_sha256}")


def find_checkpoint(folder: Path, training: str, report: Report) -> Checkpoint | None:
    """Return the newest sound checkpoint in `folder`, and remove what is newer and not sound."""
    for draft in folder.glob(f"{DRAFT}*"):  # of a training that was killed while it wrote
        draft.unlink()
    found = None
    for path in sorted(folder.glob(f"*{SUFFIX}"), reverse=True):
        try:
            found = read_checkpoint(path, training)
            break
        except CheckpointError as error:
            report({"event": "discarded", "reason": f"the checkpoint {path.name} {error}"})
            path.unlink()
    return found
