"""One server's state: loading, ready, unwell, draining, failed; the model once it is loaded; who uses it how."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from serving.batcher import Batcher
from serving.board import Board, Slot
from serving.bundle.contract import BundleError
from serving.bundle.decode import Pixels
from serving.cores import count_cores, divide_cores
from serving.deadline import NEVER
from serving.errors import ModelFailedError, UnavailableError
from serving.metrics import Metrics
from serving.notes import note
from serving.prediction import ModelError, NoMemoryError, Prediction
from serving.recorder import Recorder, RecordPlan
from serving.room import Room
from serving.segments import Limits
from serving.settings import ServerSettings
from serving.state import State

if TYPE_CHECKING:
    from serving.model import Model

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

_DECODERS = 2  # threads that read bodies: Pillow and NumPy let go of the interpreter's lock


class Service:
    """What the routes share; used on the event loop's thread alone."""

    def __init__(self, settings: ServerSettings, slot: Slot | None = None) -> None:
        """Make the service of one of several workers, whose `slot` the others read, or of the only one."""
        self.settings = settings
        self.metrics = Metrics(has_gpu=settings.device != "cpu")
        self._slot = slot or Board(1).slots[0]
        self.is_bundle_refused = False  # it takes another bundle, not another try
        self.is_trusted = True  # the golden answers were right the last time; also while draining
        self.room = Room(max_requests=settings.max_in_flight, max_bytes=settings.max_in_flight_bytes)
        self.doubt = asyncio.Event()  # the model failed: are its golden answers right?
        self.recorder: Recorder | None = None
        self._model: Model | None = None
        self._batcher: Batcher | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")
        self.metrics.ready.set_function(lambda: float(self.server_state is State.READY))

    @property
    def state(self) -> State:
        """This worker's state."""
        return self._slot.state

    @state.setter
    def state(self, state: State) -> None:
        self._slot.state = state

    @property
    def server_state(self) -> State:
        """The state of all workers together, which is the one to tell."""
        return self._slot.board.state

    @property
    def in_flight(self) -> int:
        """How many requests this worker is answering, of whatever kind."""
        return self._slot.in_flight

    @in_flight.setter
    def in_flight(self, requests: int) -> None:
        self._slot.in_flight = requests

    @property
    def model(self) -> "Model":
        """The model, also while draining.

        Raises:
            UnavailableError: it is not loaded.
        """
        if self._model is None:
            raise self._unavailable()
        return self._model

    @property
    def digest(self) -> str | None:
        """The served bundle's digest, once it is loaded."""
        return self._model.digest if self._model else None

    async def load(self) -> None:
        """Load and prove the model in its thread; afterwards the server is ready or failed, and the log says which."""
        started = time.monotonic()
        logger.info("loading %s", self.settings.bundle)
        try:
            model = await asyncio.get_running_loop().run_in_executor(self._worker, self._load_model)
            self._open(model)
        except BundleError as error:
            self.state, self.is_bundle_refused = State.FAILED, True
            logger.error("the bundle is refused: %s", error)  # noqa: TRY400 - the sentence is for an operator
            return
        except Exception:
            self.state = State.FAILED
            logger.exception("the model cannot be loaded")
            return
        if self.state is State.LOADING:
            self.state = State.READY
            seconds = round(time.monotonic() - started, 3)
            logger.info("ready", extra={"digest": model.digest, "batch": model.batch, "seconds": seconds})

    def check_model(self) -> None:
        """Look whether there is a model to be trusted.

        Raises:
            UnavailableError: it is not loaded, or its golden answers are wrong.
        """
        if self._batcher is None or not self.is_trusted:
            raise self._unavailable()

    async def read(self, function: Callable[[], Result]) -> Result:
        """Run what reads a body, away from the event loop."""
        started = time.perf_counter()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._decoders, function)
        finally:
            seconds = time.perf_counter() - started
            self.metrics.decoded(seconds)
            note(decode_ms=1000 * seconds)

    async def predict(self, images: Sequence[Pixels], deadline: float = NEVER) -> Prediction:
        """Return the answers for N images; other requests get their turn between two batches.

        Raises:
            UnavailableError: the model is not loaded, its golden answers are wrong, or it has no memory.
            DeadlinePassedError: `deadline` (`time.monotonic()`) passed before there was an answer.
            ModelFailedError: the model failed on these images.
        """
        self.check_model()
        try:
            answer = await self.ask(images, deadline)
        except ModelError as error:
            self.metrics.model_error()
            self.doubt.set()
            if isinstance(error, NoMemoryError):
                raise UnavailableError("there is no memory for this image now; try again or elsewhere") from error
            raise ModelFailedError("the model failed on this request") from error
        self.check_model()  # it may have turned out to be wrong meanwhile
        self._count(answer)
        return answer

    async def ask(self, images: Sequence[Pixels], deadline: float = NEVER) -> Prediction:
        """Return the model's answers, whether they are to be trusted or not.

        Raises:
            UnavailableError: the model is not loaded.
            DeadlinePassedError: `deadline` (`time.monotonic()`) passed before there was an answer.
            ModelError: the model failed on these images.
        """
        if self._batcher is None:
            raise self._unavailable()
        return await self._batcher.predict(images, deadline)

    def record(self, request_id: str, images: Sequence[Pixels], answer: Prediction) -> None:
        """Have an answer recorded, if this server keeps a prediction log; takes microseconds."""
        if self.recorder is not None:
            self.recorder.offer(request_id, images, answer)

    def trust(self, *, is_right: bool) -> None:
        """Give answers or refuse them, by what the golden ones are."""
        self.is_trusted = is_right
        if self.state in (State.READY, State.UNWELL):
            self.state = State.READY if is_right else State.UNWELL

    def start_draining(self) -> None:
        """Stop being ready, at once and for good; what still comes is answered."""
        self.state = State.DRAINING

    def close(self) -> None:
        """Let the threads end when they have done what they are doing, and the log be written to its end."""
        for pool in (self._worker, self._decoders):
            pool.shutdown(wait=False, cancel_futures=True)
        if self.recorder is not None:
            self.recorder.close()

    def _open(self, model: "Model") -> None:
        """Make what a loaded model needs to be served."""
        settings = self.settings
        classes = model.contract.classes
        if settings.record_folder:
            limits = Limits(settings.record_max_bytes, settings.record_segment_bytes, settings.record_segment_s)
            plan = RecordPlan(Path(settings.record_folder), settings.record_share, settings.record_images, limits)
            self.recorder = Recorder(plan, settings.model_version, classes, self.metrics)
        self.metrics.loaded(
            name=settings.model_name, version=settings.model_version, digest=model.digest, classes=classes
        )
        self._batcher = Batcher(model.predict_each, self._worker, limit=model.batch, meter=self.metrics)
        self._model = model

    def _count(self, answer: Prediction) -> None:
        classes = self.model.contract.classes
        labels = [classes[winner] for winner in answer.probabilities.argmax(axis=1).tolist()]
        self.metrics.images.inc(len(labels))
        self.metrics.predicted(labels, answer.probabilities.max(axis=1).tolist())

    def _unavailable(self) -> UnavailableError:
        return UnavailableError(f"the model is not ready: the server is {self.state}; try again or elsewhere")

    def _load_model(self) -> "Model":
        from serving.load_model import load_model  # noqa: PLC0415 - torch takes seconds, and the port answers meanwhile

        settings = self.settings
        _, threads = divide_cores(
            count_cores(), workers=settings.workers, threads=settings.threads, device=settings.device
        )
        return load_model(settings.bundle, threads=threads, max_batch=settings.max_batch, device=settings.device)
