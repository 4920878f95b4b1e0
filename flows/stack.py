"""Starts and stops the local stack, with its progress shown."""

from collections.abc import Callable

from tasks import progress
from tasks.rollout.engines.process import instance_folder, stop_all_instances
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
        if with_worker:
            deploy(settings)
            supervisor.start_services(settings, [worker(settings)], report)


def stop_stack(settings: Settings, report: Callable[[str, str], None]) -> None:
    """Stop the services and then the model's servers: nothing of this project runs afterwards."""
    supervisor.stop_services(settings, [*services.local_services(settings), worker(settings)], report)
    count = stop_all_instances(instance_folder(settings.home), drain_s=settings.release.drain_s)
    report("model servers", f"{count} stopped")
