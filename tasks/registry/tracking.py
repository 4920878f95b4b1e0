"""MLflow's runs: begun, filled in a few large requests, and closed; also those that a killed process left open.

Works with the client alone, so that runs of several threads do not meet in MLflow's process-wide active run.
"""

import getpass
import socket
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import psutil
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from tasks.data.dataset import DatasetVersion
from tasks.errors import RegistryError, TrainingStopped
from tasks.process_identity import is_process_alive
from tasks.registry.bundle_model import log_bundle
from tasks.registry.client import connect, is_present, reaching
from tasks.registry.dataset_input import describe_dataset
from tasks.registry.lineage import DVC_TEXT, Lineage
from tasks.registry.lineage import FOLDER as LINEAGE_FOLDER
from tasks.registry.record import DATA_DIGEST_TAG

Status = Literal["FINISHED", "FAILED", "KILLED"]

HOST_TAG = "evergreen.host"
PID_TAG = "evergreen.pid"
STARTED_TAG = "evergreen.process_started"  # a process id is used again; with its start it is one process
NOTE_TAG = "mlflow.note.content"  # what MLflow's UI shows as the run's description
METRICS_PER_REQUEST = 1000  # MLflow's limits
PARAMS_PER_REQUEST = 100

# MLflow looks for a dataset's row and then inserts it: of two runs that log a new dataset at once, one is refused.
_DUPLICATE_ROW = ("IntegrityError", "UniqueViolation")  # as SQLite and MySQL say it, and PostgreSQL


class TrackedRun:
    """One run. As a context it closes itself: FINISHED, FAILED after an exception, KILLED after a request to stop.

    Every method raises RegistryError when MLflow cannot be reached or refuses.
    """

    def __init__(self, client: MlflowClient, address: str, run_id: str) -> None:
        self.client = client
        self.address = address
        self.run_id = run_id
        self.is_closed = False

    def log_training(self, events: Iterable[Mapping[str, object]]) -> None:
        """Log a training's events: each has an integer `step`, perhaps a `time` (s since 1970), and metrics by name.

        Values that are not numbers are no metrics and are left out.
        """
        self.log_measurements([metric for event in events for metric in metrics_of(event)])

    def log_measurements(self, metrics: Sequence[Metric]) -> None:
        """Log metrics as they are; one that the run has already, with its time and step, is counted once."""
        with reaching(self.address, f"logging {len(metrics)} metrics of run {self.run_id}"):
            for start in range(0, len(metrics), METRICS_PER_REQUEST):
                self.client.log_batch(self.run_id, metrics=metrics[start : start + METRICS_PER_REQUEST])

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log numbers at one step."""
        self.log_training([{**values, "step": step}])

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log parameters; another value for a name that has one is refused."""
        entries = [Param(name, str(value)) for name, value in params.items()]
        with reaching(self.address, f"logging {len(entries)} parameters of run {self.run_id}"):
            for start in range(0, len(entries), PARAMS_PER_REQUEST):
                self.client.log_batch(self.run_id, params=entries[start : start + PARAMS_PER_REQUEST])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, in one request for each hundred."""
        entries = [RunTag(name, value) for name, value in tags.items()]
        with reaching(self.address, f"tagging run {self.run_id}"):
            for start in range(0, len(entries), PARAMS_PER_REQUEST):
                self.client.log_batch(self.run_id, tags=entries[start : start + PARAMS_PER_REQUEST])

    def log_artifacts(self, folder: Path, path: str = "") -> None:
        """Send the files of a folder, a request each, to the run's artifacts below `path`."""
        with reaching(self.address, f"sending {folder} to run {self.run_id}"):
            self.client.log_artifacts(self.run_id, str(folder), path or None)

    def log_texts(self, texts: Mapping[str, str | bytes], path: str = "") -> None:
        """Send texts, file name -> content, to the run's artifacts below `path`."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in texts.items():
                Path(folder, name).write_bytes(text if isinstance(text, bytes) else text.encode())
            self.log_artifacts(Path(folder), path)

    def log_dataset(self, name: str, version: DatasetVersion, context: str = "training") -> None:
        """Log the dataset that the run used, and its .dvc text as an artifact."""
        described = [describe_dataset(name, version, context)]
        with reaching(self.address, f"logging dataset {name} of run {self.run_id}"):
            try:
                self.client.log_inputs(self.run_id, described)
            except MlflowException as error:
                if not any(sign in str(error) for sign in _DUPLICATE_ROW):
                    raise
                self.client.log_inputs(self.run_id, described)
        self.set_tags({DATA_DIGEST_TAG: version.dataset.digest, "evergreen.dvc_md5": version.dvc_md5})
        self.log_texts({DVC_TEXT: version.dvc_text}, LINEAGE_FOLDER)

    def log_lineage(self, lineage: Lineage) -> None:
        """Log where the run came from: tags for the short facts, artifacts below `lineage/` for the long ones."""
        self.set_tags(lineage.tags)
        self.log_texts(lineage.files, LINEAGE_FOLDER)

    def log_bundle(self, folder: Path, *, requirements: Path, name: str = "model") -> str:
        """Log a bundle as a logged model and return its address; see `tasks.registry.bundle_model`."""
        return log_bundle(self.client, self.run_id, folder, requirements=requirements, name=name)

    def finish(self, status: Status, note: str = "") -> None:
        """Close the run, unless it is closed already; the note is shown as its description."""
        if self.is_closed:
            return
        if note:
            self.set_tags({NOTE_TAG: note})
        with reaching(self.address, f"closing run {self.run_id} as {status}"):
            self.client.set_terminated(self.run_id, status)
        self.is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish("FINISHED")
            return
        note = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else type(error).__name__
        is_stopped = isinstance(error, TrainingStopped) or not isinstance(error, Exception)
        try:
            self.finish("KILLED" if is_stopped else "FAILED", note)
        except RegistryError as unreachable:  # the error that is on its way says more; the next run closes this one
            error.add_note(str(unreachable))


class Tracking:
    """The MLflow at `tracking_uri`, as far as runs are concerned.

    Every method raises RegistryError when MLflow cannot be reached or refuses.
    """

    def __init__(self, tracking_uri: str, *, client: MlflowClient | None = None) -> None:
        self.address = tracking_uri
        self.client = client or connect(tracking_uri)

    def start_run(
        self, experiment: str, name: str, tags: Mapping[str, str] | None = None, parent: str | None = None
    ) -> TrackedRun:
        """Begin a run, tagged with this process; `parent` is the id of the run it belongs to."""
        wanted = {**(tags or {}), **process_tags(), "mlflow.user": getpass.getuser()}
        if parent is not None:
            wanted["mlflow.parentRunId"] = parent
        with reaching(self.address, f"starting run {name} of experiment {experiment}"):
            run = self.client.create_run(self._experiment_id(experiment), tags=wanted, run_name=name)
        return TrackedRun(self.client, self.address, run.info.run_id)

    def close_stale_runs(self, experiment: str) -> tuple[str, ...]:
        """Close this host's open runs whose process is gone, as KILLED with a note, and return their ids."""
        closed = []
        with reaching(self.address, f"looking for runs of {experiment} that a killed process left open"):
            for run in self._open_runs(experiment):
                pid, started = int(run.data.tags[PID_TAG]), float(run.data.tags[STARTED_TAG])
                if not is_process_alive(pid, started):
                    TrackedRun(self.client, self.address, run.info.run_id).finish(
                        "KILLED", f"process {pid} on {socket.gethostname()} ended without closing this run"
                    )
                    closed.append(run.info.run_id)
        return tuple(closed)

    def find_finished(self, experiment: str, tags: Mapping[str, str]) -> list[Mapping[str, str]]:
        """Return the tags of each finished run with these tags."""
        tagged = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
        wanted = " and ".join(["attributes.status = 'FINISHED'", *tagged])
        with reaching(self.address, f"looking for finished runs of {experiment}"):
            found = self.client.get_experiment_by_name(experiment)
            return [] if found is None else [run.data.tags for run in self._search(found.experiment_id, wanted)]

    def _open_runs(self, experiment: str) -> list[Run]:
        found = self.client.get_experiment_by_name(experiment)
        if found is None:
            return []
        wanted = f"attributes.status = 'RUNNING' and tags.`{HOST_TAG}` = '{socket.gethostname()}'"
        runs = self._search(found.experiment_id, wanted)
        return [run for run in runs if PID_TAG in run.data.tags and STARTED_TAG in run.data.tags]

    def _search(self, experiment_id: str, wanted: str) -> list[Run]:
        runs: list[Run] = []
        token: str | None = None
        while token != "":
            page = self.client.search_runs([experiment_id], wanted, page_token=token)
            runs.extend(page)
            token = page.token or ""
        return runs

    def _experiment_id(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self.client.create_experiment(name))
        except MlflowException as error:
            if not is_present(error):
                raise
            return self._experiment_id(name)  # another process was faster


def metrics_of(event: Mapping[str, object]) -> list[Metric]:
    """Return the numbers of one event as metrics; `step` and `time` say where they stand."""
    step, moment = event.get("step"), event.get("time", time.time())
    if not isinstance(step, int) or not isinstance(moment, int | float):
        raise TypeError(f"a training event needs an integer 'step', and a number as 'time' if any: {dict(event)}")
    return [
        Metric(name, float(value), round(moment * 1000), step)
        for name, value in event.items()
        if name not in ("step", "time") and isinstance(value, int | float) and not isinstance(value, bool)
    ]


def process_tags() -> dict[str, str]:
    """Return the tags that name this process among all that ever ran on this host."""
    process = psutil.Process()
    return {HOST_TAG: socket.gethostname(), PID_TAG: str(process.pid), STARTED_TAG: repr(process.create_time())}
