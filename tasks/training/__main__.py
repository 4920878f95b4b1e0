"""`python -m tasks.training SPEC.json OUT/`: one training, its events as JSON lines on stdout.

A training that was killed goes on from its last checkpoint, and one that is finished is reused.

Exit codes: 0 done; 2, 10, 11 as in `tasks.errors`; 75 stopped by SIGTERM or SIGINT, or because whoever read the events
is gone, with a checkpoint to go on from. The reason is the last line of stderr.
"""

import os
import sys
from pathlib import Path

from tasks.errors import EvergreenError
from tasks.training.events import FAILED, EventLog
from tasks.training.spec import read_spec
from tasks.training.stop import Stop


def main(arguments: list[str]) -> int:
    """Train what the arguments say and return the exit code."""
    if len(arguments) != 2:
        print("usage: python -m tasks.training SPEC.json OUT/", file=sys.stderr)
        return 2
    stop = Stop()
    stop.listen()  # before torch is imported, which takes seconds
    from tasks.training.trainer import train_here  # noqa: PLC0415  # torch: not for a usage error

    log, out = EventLog(stop), Path(arguments[1])
    try:
        spec = read_spec(Path(arguments[0]))
        out.mkdir(parents=True, exist_ok=True)
        train_here(spec, out, log, stop)
    except EvergreenError as error:
        log({"event": FAILED, "reason": str(error)})
        say(str(error))
        return error.exit_code
    return 0


def say(text: str) -> None:
    """Print to stderr; where that is a file on a full disk, the event has told it, and the exit code is not lost."""
    try:
        print(text, file=sys.stderr)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
