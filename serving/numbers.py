"""Whole numbers that a client wrote: Python refuses to read, and to print, one of thousands of digits."""

MAX_NUMBER = 10**18 - 1
_MAX_DIGITS = len(str(MAX_NUMBER))


def parse_number(text: str) -> int | None:
    """Return the whole number from 0 to `MAX_NUMBER` that `text` is, or None where it is none."""
    text = text.strip()
    return int(text) if len(text) <= _MAX_DIGITS and text.isdecimal() else None
