"""The trace that a request belongs to, by its header `traceparent`.

Source: https://www.w3.org/TR/trace-context/, section 3.2
"""

import re

TRACEPARENT_HEADER = "traceparent"

_FORM = re.compile(
    rb"(?P<version>(?!ff)[0-9a-f]{2})-(?P<known>(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(?P<more>-.*)?"
)


def read_traceparent(header: bytes) -> str | None:
    """Return the header's value in version 00, or None where it is not valid and, by the standard, to be ignored.

    Of a later version, the fields that version 00 has are taken.
    """
    found = _FORM.fullmatch(header.strip(b" \t"))
    if found is None or (found["version"] == b"00" and found["more"]):
        return None
    return f"00-{found['known'].decode()}"
