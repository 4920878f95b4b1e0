"""The process: a port that answers at once, a model that loads meanwhile, an end that loses no answer.

With one worker this process is the worker; with several it looks after them. Exit codes: 0 stopped by SIGTERM or
SIGINT; 1 the model could not be loaded, the log says why; 2 wrong arguments; 3 the bundle was refused (incomplete,
altered, wrong golden answers); 4 the port cannot be had.
"""

import dataclasses
import logging
from collections.abc import Sequence
from functools import partial

from serving import exit_codes
from serving.board import Board
from serving.cores import count_cores, divide_cores
from serving.listeners import Address
from serving.settings import ServerSettings

logger = logging.getLogger(__name__)


def serve(settings: ServerSettings) -> int:
    """Serve until a signal comes or loading fails, and return the exit code. For a process's main thread."""
    workers, threads = divide_cores(
        count_cores(), workers=settings.workers, threads=settings.threads, device=settings.device
    )
    settings = dataclasses.replace(settings, workers=workers, threads=threads)
    code = _serve_alone(settings) if workers == 1 else _serve_with_workers(settings)
    if code == 0:
        logger.info("stopped")
    return code


def _serve_alone(settings: ServerSettings) -> int:
    from serving.worker import Worker  # noqa: PLC0415 - a supervisor needs no HTTP

    worker = Worker(settings, Board(1).slots[0])
    addresses = _bind(settings)
    if not addresses:
        return exit_codes.NO_PORT
    listeners = [address.take() for address in addresses]
    for address in addresses:
        address.close()
    _tell(settings, addresses)
    return worker.serve_on(listeners)


def _serve_with_workers(settings: ServerSettings) -> int:
    from serving.supervisor import Supervisor  # noqa: PLC0415 - a lone worker needs none

    addresses = _bind(settings)
    if not addresses:
        return exit_codes.NO_PORT
    return Supervisor(settings, addresses).run(partial(_tell, settings, addresses))


def _bind(settings: ServerSettings) -> Sequence[Address]:
    """Return the main address and, if it is set, the admin one; nothing if one of them cannot be had."""
    addresses = []
    for option, port in {"--port": settings.port, "--admin-port": settings.admin_port}.items():
        if option == "--admin-port" and not port:
            continue
        try:
            addresses.append(Address(settings.host, port, is_shared=settings.workers > 1))
        except OSError as error:
            where = f"{settings.host}:{port}"
            logger.error("cannot listen on %s: %s; choose another %s", where, error.strerror, option)  # noqa: TRY400
            return ()
    return addresses


def _tell(settings: ServerSettings, addresses: Sequence[Address]) -> None:
    ports = dict(zip(("port", "admin_port"), (address.port for address in addresses), strict=False))
    logger.info("listening", extra={"host": settings.host, **ports, "workers": settings.workers})
