"""`python -m tasks.training SPEC.json OUT/`: one training, its events as JSON lines on stdout.

Exit codes: 0 done; 2, 10, 11 as in `tasks.errors`, with the reason as the last line of stderr.
"""

import sys
from pathlib import Path

from tasks.errors import EvergreenError, TrainingError
from tasks.training.spec import read_spec


def main(arguments: list[str]) -> int:
    """Train what the arguments say and return the exit code."""
    if len(arguments) != 2:
        print("usage: python -m tasks.training SPEC.json OUT/", file=sys.stderr)
        return 2
    from tasks.training.trainer import EventLog, train_here  # noqa: PLC0415  # torch: not for a usage error

    out = Path(arguments[1])
    try:
        train_here(read_spec(Path(arguments[0])), out, EventLog(out))
    except BrokenPipeError:
        print("the process that started this training is gone: stopped", file=sys.stderr)
        return TrainingError.exit_code
    except EvergreenError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
