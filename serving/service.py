"""One server's state: loading, ready, draining, failed; the model once it is loaded; the threads that use it."""

import asyncio
import enum
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from serving.bundle.contract import BundleError
from serving.bundle.decode import Pixels
from serving.errors import UnavailableError
from serving.metrics import Metrics
from serving.prediction import Prediction, join_predictions
from serving.settings import ServerSettings

if TYPE_CHECKING:
    from serving.model import Model

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

_DECODERS = 2  # threads that read bodies: Pillow and NumPy let go of the interpreter's lock


class State(enum.StrEnum):
    """Where a server is in its life."""

    LOADING = "loading"  # the port answers, the model is not there yet
    READY = "ready"  # the golden answers were right
    DRAINING = "draining"  # told to stop: no longer ready, answers what is in flight and what still comes
    FAILED = "failed"  # the model could not be loaded: the process ends


class Service:
    """What the routes share; used on the event loop's thread alone."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.state = State.LOADING
        self.is_bundle_refused = False  # it takes another bundle, not another try
        self.in_flight = 0
        self._model: Model | None = None
        self._drain_until = float("inf")  # time.monotonic()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")
        self.metrics.ready.set_function(lambda: float(self.state is State.READY))

    @property
    def model(self) -> "Model":
        """The model, also while draining.

        Raises:
            UnavailableError: it is not loaded.
        """
        if self._model is None:
            raise UnavailableError(f"the model is not ready: the server is {self.state}; try again or elsewhere")
        return self._model

    @property
    def digest(self) -> str | None:
        """The served bundle's digest, once it is loaded."""
        return self._model.digest if self._model else None

    async def load(self) -> None:
        """Load and prove the model in its thread; afterwards the server is ready or failed, and the log says which."""
        started = time.monotonic()
        logger.info("loading %s", self.settings.bundle)
        loop = asyncio.get_running_loop()
        try:
            self._model = await loop.run_in_executor(self._worker, self._load_model)
        except BundleError as error:
            self.state, self.is_bundle_refused = State.FAILED, True
            logger.error("the bundle is refused: %s", error)  # noqa: TRY400 - the sentence is for an operator
            return
        except Exception:
            self.state = State.FAILED
            logger.exception("the model cannot be loaded")
            return
        self.metrics.model.labels(self.settings.model_name, self.settings.model_version, self._model.digest).set(1)
        if self.state is State.LOADING:
            self.state = State.READY
            seconds = round(time.monotonic() - started, 3)
            logger.info("ready", extra={"digest": self._model.digest, "seconds": seconds})

    async def read(self, function: Callable[[], Result]) -> Result:
        """Run what reads a body, away from the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, function)

    async def predict(self, images: list[Pixels]) -> Prediction:
        """Return the answers for N images; other requests get their turn between two batches.

        Raises:
            UnavailableError: the model is not loaded.
        """
        model, loop, size = self.model, asyncio.get_running_loop(), self.settings.max_batch
        batches = [images[start : start + size] for start in range(0, len(images), size)]
        parts = [await loop.run_in_executor(self._worker, model.predict, batch) for batch in batches]
        self.metrics.images.inc(len(images))
        return join_predictions(parts)

    def start_draining(self) -> None:
        """Stop being ready, at once."""
        self.state = State.DRAINING
        self._drain_until = time.monotonic() + self.settings.drain_s

    @property
    def is_finished(self) -> bool:
        """Whether the process should end: drained, out of time to drain, or failed."""
        if self.state is State.DRAINING:
            return self.in_flight == 0 or time.monotonic() >= self._drain_until
        return self.state is State.FAILED

    def close(self) -> None:
        """Let the threads end when they have done what they are doing."""
        for pool in (self._worker, self._decoders):
            pool.shutdown(wait=False, cancel_futures=True)

    def _load_model(self) -> "Model":
        from serving.model import Model  # noqa: PLC0415 - torch takes seconds, and the port answers meanwhile

        settings = self.settings
        return Model.load(
            settings.bundle, threads=settings.threads, max_batch=settings.max_batch, device=settings.device
        )
