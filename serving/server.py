"""The process: a port that answers at once, a model that loads meanwhile, an end that loses no answer.

Exit codes: 0 stopped by SIGTERM or SIGINT; 1 the model could not be loaded, the log says why; 2 wrong
arguments; 3 the bundle was refused (incomplete, altered, wrong golden answers); 4 the port cannot be had.
"""

import logging
import signal
import socket
from types import FrameType

import uvicorn

from serving.app import create_app
from serving.service import Service, State
from serving.settings import ServerSettings

logger = logging.getLogger(__name__)

EXIT_NO_MODEL = 1
EXIT_BUNDLE_REFUSED = 3
EXIT_NO_PORT = 4

_KEEP_ALIVE_S = 75  # idle connections live longer here than at a router, which would send into a closing one
_BACKLOG = 2048


def serve(settings: ServerSettings) -> int:
    """Serve until a signal comes or loading fails, and return the exit code. For a process's main thread."""
    service = Service(settings)
    server = _Server(service)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)  # uvicorn does so too, but only once it runs
    try:
        listener = socket.create_server((settings.host, settings.port), backlog=_BACKLOG)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        logger.error("cannot listen on %s: %s; choose another --port", where, error.strerror)  # noqa: TRY400
        return EXIT_NO_PORT
    logger.info("listening", extra={"host": settings.host, "port": listener.getsockname()[1]})
    server.run(sockets=[listener])
    if service.state is State.FAILED:
        return EXIT_BUNDLE_REFUSED if service.is_bundle_refused else EXIT_NO_MODEL
    logger.info("stopped")
    return 0


class _Server(uvicorn.Server):
    """Uvicorn that drains first: unready at once, closed when nothing is in flight, and exit code 0.

    The port stays open while requests are in flight: probes read "not ready" there, and what a router
    still sends is answered rather than refused.
    """

    def __init__(self, service: Service) -> None:
        config = uvicorn.Config(
            create_app(service),
            http="httptools",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,  # second; the time to drain is over by then
        )
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin to drain; at a second signal, stop."""
        if self._service.state is State.DRAINING:
            self.should_exit = True
        else:
            self._service.start_draining()

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether the process should end."""
        self.should_exit = self.should_exit or self._service.is_finished
        return await super().on_tick(counter)
