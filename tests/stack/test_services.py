"""Each service's command line and variables say what the settings say."""

import http.server
import threading

import pytest

from tasks.stack import services
from tasks.stack.worker import POOL, worker
from tests.conftest import ROOT

CHANGED = {
    "stack.host": "127.0.0.2",
    "stack.prefect_port": 4201,
    "stack.mlflow_port": 5001,
    "stack.router_port": 8081,
    "stack.router_admin_port": 9902,
    "stack.tracking_folder": "/var/tracking",
}


@pytest.fixture
def changed(settings):
    return settings.override(CHANGED)


def option(service, name):
    return service.command[service.command.index(name) + 1]


def test_they_start_in_order_each_with_ports_of_its_own(changed):
    found = services.local_services(changed)
    assert [service.name for service in found] == ["prefect", "mlflow", "router", "controller"]
    ports = {port: setting for service in found for port, setting in service.ports.items()}
    assert ports == {CHANGED[setting]: setting for setting in ports.values()}
    assert len(ports) == 4


def test_prefect_listens_where_the_settings_say_and_keeps_its_state_at_home(changed):
    service = services.prefect_server(changed)
    assert (option(service, "--host"), option(service, "--port")) == ("127.0.0.2", "4201")
    assert service.environment["PREFECT_HOME"] == f"{changed.home}/prefect"
    assert service.environment["PREFECT_API_URL"] == "http://127.0.0.2:4201/api"
    assert service.address == "http://127.0.0.2:4201"


def test_mlflow_keeps_its_runs_where_the_settings_say(changed):
    service = services.mlflow_server(changed)
    assert (option(service, "--host"), option(service, "--port")) == ("127.0.0.2", "5001")
    assert option(service, "--backend-store-uri") == "sqlite:////var/tracking/mlflow.db"
    assert option(service, "--artifacts-destination") == "/var/tracking/artifacts"
    assert option(service, "--workers") == "1"


def test_flows_talk_to_the_same_prefect_and_print_nothing(changed):
    environment = services.flow_environment(changed)
    assert services.prefect_environment(changed).items() <= environment.items()
    assert environment["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] == "CRITICAL"


def test_the_worker_takes_the_pool_of_the_deployments(changed):
    service = worker(changed)
    assert option(service, "--pool") == POOL
    assert f"name: {POOL}" in (ROOT / "prefect.yaml").read_text()
    assert service.environment == services.flow_environment(changed)


@pytest.mark.parametrize(("status", "expected"), [(200, True), (503, False)])
def test_answers(status, expected):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert services.answers(f"http://127.0.0.1:{server.server_port}") is expected


def test_nobody_there_is_no_answer():
    assert not services.answers("http://127.0.0.1:1")


def test_a_controller_that_never_ran_is_not_healthy(changed):
    assert not services.controller(changed).is_healthy()
