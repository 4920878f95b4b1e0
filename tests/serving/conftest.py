"""One tiny bundle and one loaded application for all tests of the server."""

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from serving.app import create_app
from serving.batcher import Batcher
from serving.recorder import Recorder
from serving.service import Service
from serving.settings import ServerSettings
from tests.bundles import make_tiny_bundle
from tests.serving import stage
from tests.serving.recording import Meter, make_recorder

CLASSES = tuple(f"class {number}" for number in range(7))


@dataclasses.dataclass(frozen=True)
class Client:
    """Sends requests to an application in this process, without its lifespan."""

    app: Starlette

    @property
    def service(self) -> Service:
        return self.app.state.service

    def request(self, method: str, path: str, **kwargs) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                return await client.request(method, path, **kwargs)

        return asyncio.run(send())

    def get(self, path: str, **kwargs) -> httpx.Response:
        return self.request("GET", path, **kwargs)

    def post(self, path: str, **kwargs) -> httpx.Response:
        return self.request("POST", path, **kwargs)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle"), classes=CLASSES)


@pytest.fixture(scope="session")
def settings(tiny_bundle: Path) -> ServerSettings:
    return ServerSettings(bundle=tiny_bundle, model_name="fashion", model_version="12")


@pytest.fixture(scope="session")
def client(settings: ServerSettings) -> Client:
    """A client of an application whose model is loaded; tests must leave it as it is."""
    return start_client(settings)


@pytest.fixture
def make_client(settings: ServerSettings) -> Callable[..., Client]:
    """Make a client of an application with other settings."""
    return lambda **changes: start_client(dataclasses.replace(settings, **changes))


def start_client(settings: ServerSettings) -> Client:
    service = Service(settings)
    asyncio.run(service.load())
    return Client(create_app(service))


@pytest.fixture
def log_folder(tmp_path: Path) -> Path:
    """Where a prediction log will be."""
    return tmp_path / "log"


@pytest.fixture
def recorders(log_folder: Path) -> Iterator[Callable[..., Recorder]]:
    """Make recorders in one folder; they are closed when the test is over, even a failed one."""
    made = []

    def make(meter: Meter | None = None, **plan) -> Recorder:
        made.append(make_recorder(log_folder, meter, **plan))
        return made[-1]

    yield make
    for recorder in made:
        recorder.close()


@pytest.fixture
def model():
    return stage.Echo()


@pytest.fixture
def meter():
    return stage.Meter()


@pytest.fixture
def executor():
    return stage.Patient()


@pytest.fixture
def batcher(model, executor, meter):
    return Batcher(model.predict_each, executor, limit=stage.LIMIT, meter=meter)
