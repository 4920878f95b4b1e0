"""The errors a person meets: one class for each reaction, each message with the value and the way out.

EvergreenError
+-- ConfigError      fix the settings or the command         exit 2
+-- DataError        the data cannot be used: the run stops  exit 10
+-- TrainingError    no model came out: the run stops        exit 11
|   +-- TrainingStopped  asked to stop: run again to go on   exit 75
+-- RegistryError    MLflow cannot be read or written        exit 12
+-- ReleaseError     a release did not end as it should      exit 13
+-- StackError       a local service is down or cannot start exit 14
"""


class EvergreenError(Exception):
    """Something a person can act on; `exit_code` is what the command line ends with."""

    exit_code = 1


class ConfigError(EvergreenError):
    """A setting or an argument is wrong: fix it and try again."""

    exit_code = 2


class DataError(EvergreenError):
    """The data cannot be used as it is: the run stops before anything trains."""

    exit_code = 10


class TrainingError(EvergreenError):
    """Training ended without a model: the run stops and the champion goes on."""

    exit_code = 11


class TrainingStopped(TrainingError):  # noqa: N818  # the answer to a request, not a failure
    """Training was asked to stop and left a checkpoint, from which the next run of the same inputs goes on.

    The code is "temporary failure, try again" of sysexits.h.
    """

    exit_code = 75


class RegistryError(EvergreenError):
    """MLflow could not be read or written; never to be taken for "no champion yet"."""

    exit_code = 12


class ReleaseError(EvergreenError):
    """A release did not end as it should; the message says what serves now."""

    exit_code = 13


class StackError(EvergreenError):
    """A local service is down, cannot start, or its port is taken."""

    exit_code = 14
