"""When an answer comes too late: a request says how long it waits, the settings say so for those that do not."""

import math
import reprlib

from serving.errors import BadInputError
from serving.numbers import parse_number

TIMEOUT_HEADER = "x-timeout-ms"

NEVER = math.inf


def read_deadline(header: str | None, *, arrived: float, timeout_s: float) -> float:
    """Return the moment (`time.monotonic()`) from which on an answer is of no use; `NEVER` is none.

    `header` is the request's time in whole milliseconds from its arrival; without one it is `timeout_s`, 0 for no end.

    Raises:
        BadInputError: the header is no number from 1.
    """
    if header is None:
        return arrived + timeout_s if timeout_s else NEVER
    number = parse_number(header)
    if not number:
        raise BadInputError(f"{TIMEOUT_HEADER} is {reprlib.repr(header)}; expected whole milliseconds, 1 or more")
    return arrived + number / 1000
