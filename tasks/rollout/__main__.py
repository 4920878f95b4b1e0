"""`python -m tasks.rollout`: the controller of the project whose `evergreen.toml` is here.

Exit codes, those of `tasks.errors`: 0 stopped by SIGTERM or SIGINT; ConfigError's for wrong settings;
RegistryError's where MLflow's address is none; ReleaseError's where the state that an earlier controller left is
damaged; StackError's where another controller holds the lease or has taken it over.
"""

import logging
import signal
import sys
import threading

from serving.logs import configure_logging
from tasks.errors import EvergreenError
from tasks.rollout.controller import Controller
from tasks.rollout.engines.process import ProcessEngine, instance_folder
from tasks.rollout.lease import Lease
from tasks.settings import load_settings

log = logging.getLogger("tasks.rollout")


def main() -> int:
    """Run the controller and return the process's exit code."""
    configure_logging()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every probe
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = load_settings()
        lease = Lease.acquire(settings.home / "controller")
        log.info("the lease is held", extra={"token": lease.token, "home": str(settings.home)})
        Controller(settings, lease, ProcessEngine(instance_folder(settings.home))).run(stop)
    except EvergreenError as error:
        log.error("%s", error)  # noqa: TRY400 - the sentence is for a person
        return error.exit_code
    log.info("stopped; the servers go on")
    return 0


if __name__ == "__main__":
    sys.exit(main())
