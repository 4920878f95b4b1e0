"""Starts what is not up, waits until it answers, stops it: the whole life of the local stack."""

import contextlib
import errno
import fcntl
import socket
import time
from collections.abc import Callable, Iterator, Sequence

import psutil

from tasks import daemon
from tasks.errors import StackError
from tasks.settings import Settings
from tasks.stack.services import Service, services_folder

Report = Callable[[str, str], None]  # a service's name, what happened to it
POLL_S = 0.2


def start_services(settings: Settings, services: Sequence[Service], report: Report) -> None:
    """Start each service that is not up, all at once, without waiting for them; also one that runs otherwise than now.

    Raises:
        StackError: a port is taken by another program.
    """
    with only_one_starter(settings):
        changed = [service for service in services if is_changed(settings, service)]
        missing = [service for service in services if not is_up(settings, service)]
        check_ports(settings, [*changed, *missing])  # before anything that runs is stopped
        stop_services(settings, [*changed, *missing], report)  # of a killed one, what it left behind
        missing = [service for service in services if not is_up(settings, service)]
        for service in missing:
            daemon.start(
                service.name,
                service.command,
                folder=services_folder(settings),
                environment={**service.environment, **locations(settings)},
                cwd=settings.root,
                key=service.key,
            )
            report(service.name, "starting")


def wait_for_services(settings: Settings, services: Sequence[Service], report: Report) -> None:
    """Return when every service answers.

    Raises:
        StackError: one ended, or did not answer in time, with the end of its log.
    """
    started = time.monotonic()
    waiting = list(services)
    while waiting:
        for service in list(waiting):
            found = daemon.find(services_folder(settings), service.name)
            if service.is_healthy():
                report(service.name, "up")
                waiting.remove(service)
            elif found is None or not found.is_alive:
                raise StackError(f"{service.name} ended while it started; {describe_log(found)}")
            elif time.monotonic() - started > service.start_timeout_s:
                raise StackError(
                    f"{service.name} did not answer in {service.start_timeout_s:g} s; {describe_log(found)}"
                )
        time.sleep(POLL_S)


def wait_until(check: Callable[[], bool], *, timeout_s: float) -> bool:
    """Return True once `check` holds, False when it does not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def stop_services(settings: Settings, services: Sequence[Service], report: Report) -> None:
    """Stop every service that this project started, the last started first."""
    for service in reversed(services):
        found = daemon.find(services_folder(settings), service.name)
        if found is not None:
            report(service.name, "stopping" if found.session() else "was down")
            daemon.stop(found, folder=services_folder(settings), grace_s=service.grace_s)


def is_up(settings: Settings, service: Service) -> bool:
    """Whether the service's process runs; one that was just started counts, though it may not answer yet."""
    found = daemon.find(services_folder(settings), service.name)
    return found is not None and found.is_alive


def is_changed(settings: Settings, service: Service) -> bool:
    """Whether the service runs, but with another command or other settings than it would be started with now."""
    found = daemon.find(services_folder(settings), service.name)
    return found is not None and found.is_alive and found.key != service.key


def locations(settings: Settings) -> dict[str, str]:
    """Return the variables that lead a service to this project, from whichever folder."""
    return {"EVERGREEN_CONFIG": str(settings.file), "EVERGREEN_HOME": str(settings.home)}


def check_ports(settings: Settings, services: Sequence[Service]) -> None:
    """Check that nobody listens where the services will, but they themselves.

    Raises:
        StackError: naming each port, who has it or why it cannot be had, and the setting that moves it.
    """
    ours = {port for service in services for port in listening_ports(settings, service)}
    found = [
        f"port {port} for {service.name} {problem}, or set {setting} (EVERGREEN_{setting.replace('.', '__').upper()})"
        for service in services
        for port, setting in service.ports.items()
        if port not in ours and (problem := find_problem(settings.stack.host, port))
    ]
    if found:
        raise StackError("\n".join(found))


def listening_ports(settings: Settings, service: Service) -> set[int]:
    """Return the ports on which a service's processes listen, also those that a killed one left behind."""
    found = daemon.find(services_folder(settings), service.name)
    ports: set[int] = set()
    for member in found.session() if found is not None else []:
        with contextlib.suppress(psutil.NoSuchProcess):
            listening = [one for one in member.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
            ports.update(one.laddr.port for one in listening)
    return ports


def find_problem(host: str, port: int) -> str | None:
    """Return why a service could not listen there, and what to do; None where it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"is taken by {owner(port)}: stop it"
            return f"cannot be had on {host} ({error.strerror}): correct stack.host"
    return None


def owner(port: int) -> str:
    """Return who listens on the port, as far as this user may know."""
    with contextlib.suppress(psutil.AccessDenied):
        for connection in psutil.net_connections("tcp"):
            is_listening = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if is_listening and connection.pid:
                with contextlib.suppress(psutil.Error):
                    return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another program"


def describe_log(found: daemon.Daemon | None) -> str:
    """Return where a service's log is and how it ends."""
    if found is None:
        return "it was stopped"
    return f"the end of {found.log}:\n{found.last_lines()}"


@contextlib.contextmanager
def only_one_starter(settings: Settings) -> Iterator[None]:
    """Hold the lock under which services are started, so that two commands do not start one twice."""
    folder = services_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
