"""A client and a ledger that crash after their n-th write: what a killed process leaves behind."""

from mlflow import MlflowClient

from tasks.registry.ledger import Ledger

WRITES = (
    "create_registered_model",
    "create_model_version",
    "set_model_version_tag",
    "transition_model_version_stage",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_registered_model_tag",
)


class CrashError(BaseException):
    """No `except Exception` may stop it, as none stops a SIGKILL."""


class Fuse:
    """Counts writes and crashes after the one numbered `limit`; None never crashes."""

    def __init__(self, limit=None):
        self.limit = limit
        self.writes = []

    def burn(self, name):
        self.writes.append(name)
        if len(self.writes) == self.limit:
            raise CrashError(f"after write {self.limit}, {name}")


class CrashingClient(MlflowClient):
    def __init__(self, uri, fuse):
        super().__init__(uri, registry_uri=uri)
        self.fuse = fuse

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name not in WRITES:
            return found

        def write(*args, **kwargs):
            answer = found(*args, **kwargs)
            self.fuse.burn(name)
            return answer

        return write


class CrashingLedger(Ledger):
    def __init__(self, path, fuse):
        super().__init__(path)
        self.fuse = fuse

    def append(self, entry):
        super().append(entry)
        self.fuse.burn(f"ledger {entry.phase}")
