"""Which requests are recorded: a matter of the request id alone, so that all versions that see one agree."""

import hashlib

_RANGE = 1 << 64  # of the first 8 bytes of a hash


def is_recorded(request_id: str, share: float) -> bool:
    """Say whether a request is among the `share`, a fraction, that is recorded.

    The first 8 bytes of the id's SHA-256, big-endian, are a number that is evenly spread whatever the ids look like.
    What a share records, a larger one records too.
    """
    if share >= 1:
        return True
    number = int.from_bytes(hashlib.sha256(request_id.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return number < share * _RANGE
