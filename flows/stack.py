"""Starts and stops the local stack, with its progress shown."""

from collections.abc import Callable

from tasks import progress
from tasks.errors import StackError
from tasks.rollout.engines.process import stop_all_instances
from tasks.rollout.status import read_status
from tasks.settings import Settings
from tasks.stack import services, supervisor
from tasks.stack.worker import deploy, worker

STAGE = "stack"


def start_stack(settings: Settings, *, with_worker: bool) -> None:
    """Start every service that is not up, and return when all answer.

    Raises:
        StackError: a port is taken, or a service does not come up.
    """
    states: dict[str, str] = {}
    wanted = services.local_services(settings)

    def report(name: str, event: str) -> None:
        states[name] = event
        done = sum(event == "up" for event in states.values())
        progress.update(STAGE, done, len(wanted), ", ".join(f"{name} {event}" for name, event in states.items()))

    times = progress.StageTimes()
    with times.measure(STAGE):
        supervisor.start_services(settings, wanted, report)
        supervisor.wait_for_services(settings, wanted, report)
        wait_for_champion(settings)
        if with_worker:
            deploy(settings)
            supervisor.start_services(settings, [worker(settings)], report)


def wait_for_champion(settings: Settings) -> None:
    """Return when the model in production answers through the router; at once where there is none.

    Raises:
        StackError: it does not within the time that a server has to become ready.
    """
    champion = (read_status(settings.home) or {}).get("champion")
    if champion is None:
        return
    url = f"{settings.router_url}/v2/health/ready"
    if services.answers(url):
        return
    progress.update(STAGE, detail=f"version {champion['version']} starting")
    if not supervisor.wait_until(lambda: services.answers(url), timeout_s=settings.release.ready_timeout_s):
        raise StackError(
            f"version {champion['version']} is in production but does not answer at {url} within "
            f"{settings.release.ready_timeout_s:g} s: see the logs in {settings.home / 'instances'}"
        )


def stop_stack(settings: Settings, report: Callable[[str, str], None]) -> None:
    """Stop the services and then the model's servers: nothing of this project runs afterwards."""
    supervisor.stop_services(settings, [*services.local_services(settings), worker(settings)], report)
    count = stop_all_instances(settings.home, drain_s=settings.release.drain_s)
    report("model servers", f"{count} stopped")
