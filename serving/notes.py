"""What becomes known of a request on its way; told in its log line.

Whoever knows something notes it where it happens, without knowing the request: each has a task of its own. Numbers
and words of our own only, never anything of a body.
"""

from contextvars import ContextVar

Notes = dict[str, float | str]

_notes: ContextVar[Notes | None] = ContextVar("notes", default=None)


def open_notes() -> Notes:
    """Begin the notes on the request that this task answers, and return them."""
    notes: Notes = {}
    _notes.set(notes)
    return notes


def note(**facts: float | str) -> None:
    """Note facts on the request that this task answers; where it answers none, nothing happens.

    Names carry their units: `queue_ms`, `decode_ms`, `inference_ms`; `batch` is the images of the batch it was in.
    """
    notes = _notes.get()
    if notes is not None:
        notes.update(facts)
