"""The lease: only its holder touches router, servers and aliases. A lock on this host, and a token that only grows."""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import BinaryIO, Self

from serving.bundle.durable import write_durably
from tasks.errors import StackError

LOCK = "lock"
TOKEN = "token"  # noqa: S105 - a counter


class LeaseError(StackError):
    """Another controller holds the lease, or has taken it over."""


class Lease:
    """The held lease; `token` is higher than that of every holder before. The lock goes with the process."""

    def __init__(self, folder: Path, stream: BinaryIO, token: int) -> None:
        self._folder = folder
        self._stream = stream
        self.token = token

    @classmethod
    def acquire(cls, folder: Path) -> Self:
        """Take the lease of `folder`.

        Raises:
            LeaseError: another process holds it, with its pid.
        """
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / LOCK).open("a+b")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _read_holder(stream)
            stream.close()
            raise LeaseError(
                f"{holder} is the controller of {folder}; there can be one: stop it with `evergreen down` first"
            ) from error
        try:
            token = read_token(folder) + 1
            write_durably(folder / TOKEN, f"{token}\n")
            _write_holder(stream, token)
        except BaseException:
            stream.close()
            raise
        return cls(folder, stream, token)

    def check(self) -> None:
        """Return if the lease is still ours.

        Raises:
            LeaseError: the lock file is gone or another's, or a higher token was given out.
        """
        path = self._folder / LOCK
        try:
            is_ours = os.path.samestat(os.fstat(self._stream.fileno()), path.stat())
        except FileNotFoundError:
            is_ours = False
        if not is_ours:
            raise LeaseError(f"the lease was lost: {path} is not the file that this controller locked")
        if (latest := read_token(self._folder)) != self.token:
            raise LeaseError(f"the lease was lost: its token is {latest}, this controller has {self.token}")

    def release(self) -> None:
        """Give the lease back; the token stays used."""
        self._stream.close()


def read_token(folder: Path) -> int:
    """Return the last token given out in `folder`; 0 where there was none.

    Raises:
        LeaseError: the token file holds no number.
    """
    path = folder / TOKEN
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return 0
    except ValueError as error:
        raise LeaseError(f"{path} holds no number: write one that is higher than any token used before") from error


def _write_holder(stream: BinaryIO, token: int) -> None:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    stream.truncate(0)
    stream.write(json.dumps({"pid": os.getpid(), "since": since, "token": token}).encode() + b"\n")
    stream.flush()


def _read_holder(stream: BinaryIO) -> str:
    stream.seek(0)
    try:
        holder = json.loads(stream.read())
        return f"process {holder['pid']}, since {holder['since']},"
    except (ValueError, KeyError):
        return "another process"
