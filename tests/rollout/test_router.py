"""A real Envoy in front of stub servers: what is written is what it does, and no request is lost on the way."""

import json
import os
import signal

import httpx
import pytest

from tasks.errors import ReleaseError
from tasks.rollout.engines.process import ProcessEngine, instance_folder
from tasks.rollout.envoy import NO_CHAMPION
from tasks.rollout.lease import LeaseError
from tasks.rollout.route import Route, Share, Target
from tasks.rollout.router import ROUTES, Router
from tests.rollout.running import Load, spec_of, stub_command, until


@pytest.fixture(scope="module")
def servers(project, bundle):
    """Three servers, versions 1 to 3, as targets by version, with their pids."""
    engine = ProcessEngine(instance_folder(project.home), command=stub_command)
    for version in (1, 2, 3):
        engine.start(spec_of(bundle, version))
    found = until(lambda: all(instance.port for instance in engine.list()) and engine.list(), what="three servers")
    return {
        instance.version: (Target(instance.id, instance.version, instance.port), instance.pid) for instance in found
    }


def straight(*targets):
    return Route((Share(100, targets),))


def set_route(envoy, route):
    envoy.set_route(route, token=1, timeout_s=5)


def test_without_a_champion_every_path_says_so(project, envoy):
    set_route(envoy, Route())
    for method, path in (("POST", "/predict"), ("GET", "/v2/health/ready"), ("POST", "/feedback")):
        answer = httpx.request(method, project.router_url + path, trust_env=False)
        assert (answer.status_code, answer.json()) == (503, {"error": NO_CHAMPION})
        assert answer.headers["content-type"] == "application/json"


def test_a_route_is_read_back_from_disk_and_live(project, envoy, servers):
    (one, _), (two, _) = servers[1], servers[2]
    wanted = Route((Share(10, (two, one)), Share(90, (one,))))
    set_route(envoy, wanted)
    assert envoy.current() == wanted
    assert envoy.is_live()
    assert Router(envoy.folder, admin_port=project.stack.router_admin_port, max_body_bytes=1).current() == wanted


def test_a_share_gets_about_its_weight(project, envoy, servers):
    (one, _), (two, _) = servers[1], servers[2]
    set_route(envoy, Route((Share(25, (two, one)), Share(75, (one, two)))))
    with Load(project.router_url, b"x", threads=2, limit=400) as load:
        load.wait_for(400)
    assert not load.failures
    assert 60 <= load.versions.count("2") <= 140  # of 400; outside once in 10^5 runs


def test_forty_changes_of_route_lose_no_request(project, envoy, servers):
    (one, _), (two, _) = servers[1], servers[2]
    with Load(project.router_url, b"x" * 784) as load:
        load.wait_for(10)
        for number in range(40):
            set_route(envoy, straight(one, two) if number % 2 else straight(two, one))
            load.wait_for(5)
    assert load.failures == []
    assert len(load.answers) > 200
    assert set(load.versions) == {"1", "2"}


def test_a_champion_that_is_killed_is_answered_for_by_previous(project, envoy, servers):
    (two, _), (three, pid) = servers[2], servers[3]
    set_route(envoy, straight(three, two))
    with Load(project.router_url, b"x" * 784) as load:
        load.wait_for(100)
        os.kill(pid, signal.SIGKILL)
        load.wait_for(100)
    assert load.failures == []
    assert load.versions[0] == "3"
    assert load.versions[-1] == "2"


def test_feedback_is_never_sent_twice(project, envoy, servers):
    gone = Target("gone", 9, 1)  # nothing listens on port 1
    set_route(envoy, straight(gone, servers[1][0]))
    assert httpx.post(f"{project.router_url}/predict", content=b"x", trust_env=False).status_code == 200
    assert httpx.post(f"{project.router_url}/v2/models/m/infer", content=b"x", trust_env=False).status_code == 200
    assert httpx.get(f"{project.router_url}/v2/models/m", trust_env=False).status_code == 200
    assert httpx.post(f"{project.router_url}/feedback", content=b"x", trust_env=False).status_code == 503


def test_a_large_request_is_retried_too(project, envoy, servers):
    set_route(envoy, straight(Target("gone", 9, 1), servers[1][0]))
    body = b"x" * (project.serving.max_body_bytes - 1000)
    assert httpx.post(f"{project.router_url}/predict", content=body, trust_env=False).status_code == 200


def test_requests_are_counted_per_version(project, envoy, servers):
    set_route(envoy, straight(servers[1][0]))

    def count():
        admin = (
            f"http://127.0.0.1:{project.stack.router_admin_port}/stats?filter=version_1.upstream_rq_total&format=json"
        )
        return httpx.get(admin, trust_env=False).json()["stats"][0]["value"]

    before = count()
    for _ in range(7):
        httpx.post(f"{project.router_url}/predict", content=b"x", trust_env=False)
    assert count() - before == 7


def test_a_lower_token_writes_nothing(envoy, servers):
    (one, _), (two, _) = servers[1], servers[2]
    envoy.set_route(straight(one), token=7, timeout_s=5)
    with pytest.raises(LeaseError, match="written with token 7; this controller has 6"):
        envoy.set_route(straight(two), token=6, timeout_s=5)
    assert envoy.current() == straight(one)
    for name in ("clusters.json", "routes.json"):  # the tests after this one begin again at token 1
        path = envoy.folder / name
        path.write_text(path.read_text().replace('"7-', '"1-'))


def test_what_envoy_refuses_is_an_error_with_what_it_says(envoy, servers):
    with pytest.raises(ReleaseError, match=r"did not take .* has refused 1 files, its log says why"):
        envoy.set_route(straight(Target("bad", 1, 70_000)), token=1, timeout_s=0.5)
    set_route(envoy, straight(servers[1][0]))


def test_files_are_written_where_envoy_does_not_run(tmp_path, servers):
    router = Router(tmp_path / "router", admin_port=1, max_body_bytes=1_000)
    assert router.current() == Route()
    router.prepare()
    router.set_route(straight(servers[1][0]), token=3, timeout_s=5)
    assert router.current() == straight(servers[1][0])
    assert (router.token(), router.is_live()) == (3, False)


def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path):
    router = Router(tmp_path, admin_port=1, max_body_bytes=1_000)
    (tmp_path / ROUTES).write_text(json.dumps({"version_info": "1-x"})[:-5])
    with pytest.raises(ReleaseError, match=r"routes.json is not JSON.*remove it"):
        router.current()
