"""Writes checkpoints beside the training: a thread waits for the disk, and the next steps go on meanwhile."""

import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from tasks.training.checkpoint import FOLDER, KEPT, SUFFIX, Checkpoint, copied, file_of, write_checkpoint
from tasks.training.events import Report

HELD = ("losses", "state")  # what of a checkpoint holds tensors


class NotFiniteError(Exception):
    """A state that holds a number that is none: it is never written."""


class CheckpointWriter:
    """Writes one checkpoint at a time into a training's folder, and keeps the newest two."""

    def __init__(self, out: Path, training: str, *, every_steps: int, report: Report) -> None:
        self.folder, self.training, self.every_steps, self.report = out / FOLDER, training, every_steps, report
        self.thread = ThreadPoolExecutor(1, "checkpoint")
        self.pending: tuple[int, Future[None]] | None = None
        self.newest = 0  # the step of the newest one on the disk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.thread.shutdown()

    def is_due(self, step: int) -> bool:
        """Tell whether a checkpoint belongs after `step` steps."""
        return step % self.every_steps == 0

    def begin(self, checkpoint: Checkpoint) -> None:
        """Copy a state on its device, and write it while the training goes on.

        Raises:
            NotFiniteError: the one before was not.
        """
        self.finish()
        snapshot = dataclasses.replace(checkpoint, **{name: copied(getattr(checkpoint, name)) for name in HELD})
        self.pending = (checkpoint.step, self.thread.submit(self.write, snapshot, snapshot.is_finite()))

    def poll(self) -> None:
        """Tell of the checkpoint that was begun, once it is there; this costs nothing and waits for nothing."""
        if self.pending is not None and self.pending[1].done():
            self.finish()

    def finish(self) -> None:
        """Wait until the checkpoint that was begun is on the disk, or has failed, and tell of it.

        Raises:
            NotFiniteError: its state was not.
        """
        if self.pending is None:
            return
        step, future = self.pending
        self.pending = None
        try:
            future.result()
        except OSError as error:
            reason = f"{error.strerror or error}: {self.folder}; the one before is kept, and the training goes on"
            self.report({"event": "checkpoint_failed", "step": step, "reason": reason})
        else:
            self.newest = step
            self.report({"event": "checkpoint", "step": step})

    def write(self, snapshot: Checkpoint, is_finite: Tensor) -> None:
        """Write a copied state, in the thread: it computes nothing, see `Checkpoint.is_finite`.

        Raises:
            NotFiniteError: a number in it is none.
            OSError: it could not be written.
        """
        if not is_finite:
            raise NotFiniteError
        on_cpu = {name: copied(getattr(snapshot, name), torch.device("cpu")) for name in HELD}
        checkpoint = dataclasses.replace(snapshot, **on_cpu)
        write_checkpoint(file_of(self.folder, checkpoint.step), checkpoint, self.training)
        for old in sorted(self.folder.glob(f"*{SUFFIX}"))[:-KEPT]:
            old.unlink()
