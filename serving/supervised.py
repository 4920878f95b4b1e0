"""`python -m serving.supervised SHARE`: one of several workers, in a process that its supervisor started.

The settings come by the environment. Standard input is a pipe that closes when the supervisor is gone.
"""

import logging
import os
import shutil
import socket
import sys
import threading

from serving.board import Board
from serving.logs import configure_logging
from serving.settings import parse_settings
from serving.share import Share
from serving.worker import Worker
from serving.worker_metrics import FOLDER_VARIABLE

_SUPERVISOR_IS_GONE = 1


def main() -> int:
    """Run the worker and return its exit code; `serving.exit_codes` lists them."""
    threading.Thread(target=_end_with_supervisor, name="supervisor", daemon=True).start()
    share = Share.from_json(sys.argv[1])
    settings = parse_settings([], os.environ)
    configure_logging(settings.log_level)
    slot = Board(share.workers, share.board).slots[share.number]
    worker = Worker(settings, slot)
    return worker.serve_on([socket.socket(fileno=fd) for fd in share.listeners])


def _end_with_supervisor() -> None:
    """Wait until the supervisor is gone, and end at once: nobody would stop this process later, or take its port."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    shutil.rmtree(os.environ[FOLDER_VARIABLE], ignore_errors=True)
    os._exit(_SUPERVISOR_IS_GONE)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    os._exit(code)  # as `serving.__main__` does
