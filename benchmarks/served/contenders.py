"""Who is compared: each is a command that serves a module, the request that suits it best, and how its answer reads."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import distributions
from pathlib import Path

from benchmarks.served.peers import LARGE
from benchmarks.served.subjects import Asked, Made, ask_json
from serving.cores import count_cores, divide_cores

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "build" / "peers"  # an environment of their own

Part = str | Path


@dataclass(frozen=True)
class Terms:
    """On what terms the peers serve: processes, torch threads of each, and whether they know batches.

    `is_optimised` says whether the module is the optimised form, for the peers; Evergreen finds out by itself.
    """

    workers: int
    threads: int
    is_batching: bool = True
    device: str = "cpu"
    is_optimised: bool = True


def best_terms(device: str = "cpu") -> Terms:
    """Return the processes and threads that Evergreen chooses for this machine, and batches."""
    workers, threads = divide_cores(count_cores(), workers=0, threads=0, device=device)
    return Terms(workers, threads, device=device)


def first_terms(device: str = "cpu") -> Terms:
    """Return what a server does that is set up as on its documentation's first page: a process, torch's own threads."""
    return Terms(1, count_cores(), is_batching=False, device=device)


@dataclass(frozen=True)
class Place:
    """Where one server runs: what it serves, its port, a folder of its own, and the terms."""

    made: Made
    port: int
    folder: Path
    terms: Terms


@dataclass(frozen=True)
class Contender:
    """One server, by its key on the command line.

    Attributes:
        package: What its environment must hold; none for ours.
        command: What starts it.
        ask: The request that suits it best.
        read: The class and its probability, from an answer's body.
        prepare: A command to run once before.
        environment: Further variables of its process.
    """

    key: str
    title: str
    package: str | None
    command: Callable[[Place], Sequence[Part]]
    ask: Callable[[Made], Asked]
    read: Callable[[bytes], tuple[int, float]]
    prepare: Callable[[Place], Sequence[Part]] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_there(self) -> bool:
        """Whether it can be started here."""
        return self.package is None or any(PEERS.glob(f"lib/python*/site-packages/{self.package}"))

    def variables(self, place: Place) -> dict[str, str]:
        """Return the process's variables; ours finds its own terms."""
        world = {**os.environ, "PYTHONPATH": str(ROOT), **self.environment}
        if self.package is None:
            return world
        terms, made = place.terms, place.made
        return {
            **world,
            "PATH": f"{PEERS / 'bin'}{os.pathsep}{world.get('PATH', '')}",
            "OMP_NUM_THREADS": str(terms.threads),
            "SERVED_MODULE": str(made.module),
            "SERVED_SHAPE": made.shape,
            "SERVED_DEVICE": terms.device,
            "SERVED_OPTIMISED": str(int(terms.is_optimised)),
            "SERVED_WORKERS": str(terms.workers),
            "SERVED_BATCHING": str(int(terms.is_batching)),
            "SERVED_PORT": str(place.port),
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOME": str(place.folder),
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }


def contenders() -> tuple[Contender, ...]:
    """Return all, those that are not installed too."""
    return EVERGREEN, LITSERVE, BENTOML, MLFLOW, FASTAPI


def peer_versions(who: Sequence[Contender]) -> str:
    """Return the versions of the packages that the peers among them are."""
    where = [str(path) for path in PEERS.glob("lib/python*/site-packages")]
    found = {each.name.lower(): each.version for each in distributions(path=where)}
    names = [each.package for each in who if each.package in found]
    return ", ".join(f"{name} {found[name]}" for name in names if name) or "no peers"


def _evergreen(place: Place, *more: str) -> list[Part]:
    named = ("--model-name", "served", "--model-version", "1")
    where = ("--port", str(place.port), "--device", place.terms.device)
    return [sys.executable, "-m", "serving", "--bundle", place.made.folder, *named, *where, *more]


def _peer(command: str, **places: object) -> list[Part]:
    """Return `python -m COMMAND` in the peers' environment; `places` stand for {names} in it."""
    return [PEERS / "bin" / "python", "-m", *(word.format_map(places) for word in command.split())]


def _litserve(_: Place) -> list[Part]:
    return _peer("benchmarks.served.peers.litserve_server")


def _bentoml(place: Place) -> list[Part]:
    where = "--host 127.0.0.1 --port {port} --working-dir {root}"
    return _peer(f"bentoml serve benchmarks.served.peers.bento_service:Classifier {where}", port=place.port, root=ROOT)


def _save_mlflow(place: Place) -> list[Part]:
    return _peer("benchmarks.served.peers.mlflow_save {folder}", folder=place.folder / "model")


def _mlflow(place: Place) -> list[Part]:
    return _peer(
        "mlflow models serve --model-uri {folder} --env-manager local "
        "--host 127.0.0.1 --port {port} --workers {workers}",
        folder=place.folder / "model",
        port=place.port,
        workers=place.terms.workers,
    )


def _ask_mlflow(made: Made) -> Asked:
    """Return a tensor of numbers, which MLflow reads fastest; of a large image, base64 in a binary column."""
    if made.image.size <= LARGE:
        return ask_json("/invocations", {"inputs": [made.image.tolist()]})
    return ask_json("/invocations", {"dataframe_split": {"columns": ["image"], "data": [[made.base64]]}})


def _fastapi(place: Place) -> list[Part]:
    return _peer(
        "uvicorn benchmarks.served.peers.fastapi_app:app --host 127.0.0.1 --port {port} --workers {workers} "
        "--log-level warning",
        port=place.port,
        workers=place.terms.workers,
    )


def _read_evergreen(body: bytes) -> tuple[int, float]:
    best = json.loads(body)["predictions"][0]
    return best["class"], best["probability"]


def _read_plain(body: bytes) -> tuple[int, float]:
    found = json.loads(body)
    return int(found["class"]), found["probability"]


def _read_bento(body: bytes) -> tuple[int, float]:
    (found,) = json.loads(body)
    return int(found["class"]), found["probability"]


def _read_mlflow(body: bytes) -> tuple[int, float]:
    (row,) = json.loads(body)["predictions"]
    return max(range(len(row)), key=row.__getitem__), max(row)


EVERGREEN = Contender(
    "evergreen",
    "Evergreen",
    None,
    _evergreen,
    lambda made: made.ask_raw("/predict", **{"x-image-shape": made.shape}),
    _read_evergreen,
)
ONE_WORKER = replace(EVERGREEN, command=lambda place: _evergreen(place, "--workers", "1"))
LITSERVE = Contender("litserve", "LitServe", "litserve", _litserve, lambda made: made.ask_raw("/predict"), _read_plain)
BENTOML = Contender(
    "bentoml",
    "BentoML",
    "bentoml",
    _bentoml,
    lambda made: ask_json("/predict", {"images": [made.base64]}),
    _read_bento,
)
MLFLOW = Contender(
    "mlflow",
    "mlflow models serve",
    "mlflow",
    _mlflow,
    _ask_mlflow,
    _read_mlflow,
    prepare=_save_mlflow,
)
FASTAPI = Contender(
    "fastapi", "FastAPI, textbook", "fastapi", _fastapi, lambda made: made.ask_raw("/predict"), _read_plain
)
