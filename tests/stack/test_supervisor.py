"""The life of real background services: started once, waited for, stopped; what goes wrong is told with its way out."""

import dataclasses
import os
import socket
import sys
import threading

import psutil
import pytest

from tasks import daemon
from tasks.errors import StackError
from tasks.stack.services import services_folder
from tasks.stack.supervisor import find_problem, is_up, start_services, stop_services, wait_for_services


def test_services_start_answer_and_stop_in_order(settings, make_service, report, reports):
    services = [make_service("one"), make_service("two")]
    start_services(settings, services, report)
    assert reports == [("one", "starting"), ("two", "starting")]
    wait_for_services(settings, services, report)
    assert sorted(reports[2:]) == [("one", "up"), ("two", "up")]
    assert all(service.is_healthy() and is_up(settings, service) for service in services)
    reports.clear()
    stop_services(settings, services, report)
    assert reports == [("two", "stopping"), ("one", "stopping")]
    assert not any(service.is_healthy() or is_up(settings, service) for service in services)


def test_only_what_is_down_is_started(settings, make_service, report, reports):
    one, two = make_service("one"), make_service("two")
    start_services(settings, [one], report)
    pid = daemon.find(services_folder(settings), "one").pid
    start_services(settings, [one, two], report)
    assert reports == [("one", "starting"), ("two", "starting")]
    assert daemon.find(services_folder(settings), "one").pid == pid


@pytest.mark.parametrize(
    "change", [{"reads": "other settings"}, {"environment": {"A": "b"}}], ids=["settings", "world"]
)
def test_what_would_run_otherwise_now_is_started_anew(settings, make_service, report, reports, change):
    service = make_service("one")
    start_services(settings, [service], report)
    wait_for_services(settings, [service], report)
    pid = daemon.find(services_folder(settings), "one").pid
    reports.clear()
    start_services(settings, [dataclasses.replace(service, **change)], report)
    assert reports == [("one", "stopping"), ("one", "starting")]
    assert daemon.find(services_folder(settings), "one").pid != pid


def test_a_change_to_a_taken_port_leaves_what_runs(settings, make_service, report):
    service = make_service("one")
    start_services(settings, [service], report)
    wait_for_services(settings, [service], report)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        moved = dataclasses.replace(service, ports={taken.getsockname()[1]: "stack.router_port"}, reads="moved")
        with pytest.raises(StackError, match="is taken by"):
            start_services(settings, [moved], report)
    assert service.is_healthy()


def test_a_service_finds_the_project_from_any_folder(settings, make_service, report):
    code = "import os; print(os.environ['EVERGREEN_CONFIG'], os.environ['EVERGREEN_HOME'], flush=True)"
    service = make_service("one", command=(sys.executable, "-c", code))
    start_services(settings, [service], report)
    found = daemon.find(services_folder(settings), "one")
    psutil.wait_procs([psutil.Process(found.pid)], timeout=30)
    assert found.last_lines() == f"{settings.file} {settings.home}"


def test_two_commands_at_once_start_a_service_once(settings, make_service, report, reports):
    service = make_service("one")
    threads = [threading.Thread(target=start_services, args=(settings, [service], report)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reports == [("one", "starting")]


def test_stopping_what_is_down_says_so_and_what_never_ran_says_nothing(settings, make_service, report, reports):
    service, other = make_service("one", command=(sys.executable, "-c", "")), make_service("never")
    start_services(settings, [service], report)
    process = daemon.find(services_folder(settings), "one").process()
    if process is not None:
        process.wait(30)
    stop_services(settings, [service, other], report)
    assert reports[1:] == [("one", "was down")]


def test_a_taken_port_names_who_has_it_and_the_setting(settings, make_service, report, reports):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        free = make_service("free")
        with pytest.raises(StackError) as caught:
            start_services(settings, [free, make_service("one", port=port)], report)
    message = str(caught.value)
    assert message.startswith(f"port {port} for one is taken by ")
    assert f"(pid {os.getpid()}): stop it, or set stack.router_port (EVERGREEN_STACK__ROUTER_PORT)" in message
    assert reports == []
    assert not is_up(settings, free)


def test_a_host_that_is_not_here_is_not_called_taken():
    problem = find_problem("192.0.2.1", 8080)  # TEST-NET-1: nobody's address
    assert problem == "cannot be had on 192.0.2.1 (Cannot assign requested address): correct stack.host"


def test_a_free_port_is_no_problem(make_service):
    (port,) = make_service("one").ports
    assert find_problem("127.0.0.1", port) is None


def test_a_service_that_dies_at_its_start_shows_the_end_of_its_log(settings, make_service, report):
    code = "import sys; print('before'); sys.exit('no space left')"
    service = make_service("one", command=(sys.executable, "-u", "-c", code))
    start_services(settings, [service], report)
    with pytest.raises(StackError) as caught:
        wait_for_services(settings, [service], report)
    log = services_folder(settings) / "one.log"
    assert str(caught.value) == f"one ended while it started; the end of {log}:\nbefore\nno space left"


def test_a_service_that_never_answers_is_given_up(settings, make_service, report):
    service = make_service("one", is_healthy=lambda: False, start_timeout_s=0.1)
    start_services(settings, [service], report)
    with pytest.raises(StackError, match=r"one did not answer in 0.1 s; the end of .*one.log"):
        wait_for_services(settings, [service], report)


def test_a_service_stopped_while_somebody_waits_ends_the_wait(settings, make_service, report):
    service = make_service("one", is_healthy=lambda: False)
    with pytest.raises(StackError, match="one ended while it started; it was stopped"):
        wait_for_services(settings, [service], report)
