"""Where a server is in its life."""

import enum


class State(enum.StrEnum):
    """What a worker says of itself, and a server of all its workers."""

    LOADING = "loading"  # the port answers, the model is not there yet
    READY = "ready"  # the golden answers were right
    UNWELL = "unwell"  # they are wrong now: predictions are refused until they are right again
    DRAINING = "draining"  # told to stop: no longer ready, answers what is in flight and what still comes
    FAILED = "failed"  # the model could not be loaded: the process ends
