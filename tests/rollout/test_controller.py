"""The controller over a real MLflow database, a real Envoy and stub servers, tick by tick and crash by crash."""

import dataclasses
import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.errors import RegistryError, ReleaseError
from tasks.registry import transitions
from tasks.registry.ledger import open_ledger
from tasks.registry.registry import Registry
from tasks.rollout import wait
from tasks.rollout.act import Actor
from tasks.rollout.engines.process import instance_folder
from tasks.rollout.instances import InstanceRecords
from tasks.rollout.lease import TOKEN, LeaseError
from tasks.rollout.status import status_path
from tests.rollout.registering import ask
from tests.rollout.running import TIMEOUT_S, Load
from tests.rollout.world import corrupt, put


def test_before_the_first_release_the_router_says_so(world):
    world.controller.tick()
    assert world.predict().status_code == 503
    assert world.status["champion"] is None
    assert world.status["mlflow_reachable"] is True


def test_a_first_release(world):
    version = world.register()
    outcome = world.release(version)
    assert (outcome.is_success, outcome.version) == (True, version.version)
    assert list(outcome.phase_s) == ["booting", "verifying", "progressing", "promoting"]
    assert world.predict().headers["x-evergreen-version"] == str(version.version)
    champion = world.status["champion"]
    assert (champion["name"], champion["version"], champion["digest"]) == (
        world.settings.model.name,
        version.version,
        version.digest,
    )
    state = json.loads(world.registry.read_release_state(version.version))
    assert (state["phase"], state["token"]) == ("succeeded", world.lease.token)
    assert world.registry.champion().stage == "Production"


def test_the_next_releases_keep_one_warm_and_retire_the_older_without_a_lost_request(world, champion):
    with Load(world.settings.router_url, b"x" * 784, threads=2, pause_s=0.02) as load:
        load.wait_for(20)
        for _ in range(2):
            version = world.register()
            assert world.release(version).is_success
            world.settle()
        load.wait_for(20)
    assert load.failures == []
    assert load.versions[0] == str(champion.version)
    assert load.versions[-1] == str(version.version)
    assert world.registry.view().previous == version.version - 1


def test_a_rollback_goes_back_and_a_second_one_says_that_it_cannot(world, champion):
    before = world.registry.view().previous
    outcome = world.answer(ask(world.registry, "rollback"))
    assert (outcome.is_success, outcome.version) == (True, before)
    world.settle()
    assert world.predict().headers["x-evergreen-version"] == str(before)
    again = world.answer(ask(world.registry, "rollback"))
    assert (again.is_success, again.version) == (False, None)
    assert "no previous version" in again.reason
    assert world.registry.champion().version == before


@pytest.mark.parametrize(
    ("spoil", "phase", "reason"),
    [
        (corrupt, "booting", "model.pt was altered"),
        (put("refuse"), "booting", "server ended in phase booting"),
        (put("wrong"), "verifying", "wrongly: a probability differs"),
    ],
    ids=["a tampered model.pt", "a server that ends at once", "wrong answers"],
)
def test_a_bad_version_fails_with_its_reason_and_the_champion_serves(world, champion, spoil, phase, reason):
    version = world.register()
    spoil(world, version)
    with Load(world.settings.router_url, b"x" * 784, threads=2, pause_s=0.02) as load:
        load.wait_for(10)
        outcome = world.release(version)
        load.wait_for(10)
    assert not outcome.is_success
    assert reason in outcome.reason
    assert list(outcome.phase_s)[-2:] == [phase, "rolling_back"]
    assert load.failures == []
    assert set(load.versions) == {str(champion.version)}
    assert world.registry.champion().version == champion.version
    assert world.registry.version(version.version).stage == "Archived"
    assert world.outcomes()[-1] == ("reject", version.version, "completed")
    assert reason in json.loads(world.registry.read_release_state(version.version))["reason"]
    world.settle()


def test_the_failed_servers_log_is_kept_and_named(world, champion):
    version = world.register()
    put("refuse")(world, version)
    outcome = world.release(version)
    log = Path(outcome.reason.rpartition("see ")[2])
    assert log.read_text().splitlines() == ["starting", "the bundle is refused"]


def test_a_champion_that_dies_is_answered_for_and_started_again(world, champion):
    alive = [server for server in world.status["instances"] if server["version"] == champion.version]
    (record,) = [r for r in InstanceRecords(instance_folder(world.settings.home)).read_all() if r.id == alive[0]["id"]]
    aged = dataclasses.replace(record, started_s=record.started_s - 60)  # one that has just begun is not begun again
    InstanceRecords(instance_folder(world.settings.home)).write(aged)
    with Load(world.settings.router_url, b"x" * 784, threads=2, pause_s=0.02) as load:
        load.wait_for(10)
        os.kill(record.pid, signal.SIGKILL)
        load.wait_for(10)
        world.settle()
        load.wait_for(10)
    assert load.failures == []
    assert load.versions[-1] == str(champion.version)
    (now,) = [server for server in world.status["instances"] if server["version"] == champion.version]
    assert now["id"] != record.id


def test_without_mlflow_the_last_known_state_serves_also_after_a_restart(world, champion, monkeypatch):
    def away(*_):
        raise RegistryError("MLflow is away")

    for name in ("view", "version", "write_release_state"):
        monkeypatch.setattr(Registry, name, away)
    world.restart()
    world.tick_until(lambda: world.status["mlflow_reachable"] is False, "a look at MLflow")
    assert (world.status["champion"]["version"], world.status["last_error"]) == (champion.version, "MLflow is away")
    assert world.predict().headers["x-evergreen-version"] == str(champion.version)
    monkeypatch.undo()
    world.tick_until(lambda: world.status["mlflow_reachable"], "MLflow's return")
    assert world.status["last_error"] == ""


@pytest.mark.parametrize("action", ["release", "rollback"])
def test_an_outage_right_after_the_commit_point_is_made_good_by_the_same_controller(
    world, champion, monkeypatch, action
):
    assert world.release(world.register()).is_success, "there is a version to go back to"
    before = world.registry.view()
    version = world.register() if action == "release" else None
    complete, outages = transitions.complete, []

    def fail_once(*arguments):
        if not outages:
            outages.append(arguments)
            raise RegistryError("MLflow is away")
        return complete(*arguments)

    monkeypatch.setattr(transitions, "complete", fail_once)
    controller = world.controller
    assert world.answer(ask(world.registry, action, version)).is_success
    assert len(outages) == 1
    assert world.controller is controller
    wanted = {"release": (version and version.version, before.champion), "rollback": (before.previous, None)}[action]
    view = world.registry.view()
    assert (view.champion, view.previous) == wanted
    assert view.challenger != view.champion
    stages = {known.version: known.stage for known in world.registry.versions()}
    assert [number for number, stage in stages.items() if stage == "Production"] == [view.champion]
    assert stages[before.champion] == "Archived"
    assert open_ledger(world.settings.home).open_intent(world.settings.model.name) is None
    world.settle()


@pytest.mark.parametrize("read", ["version", "download_bundle"])
def test_an_outage_while_a_request_is_read_or_fetched_does_not_fail_it(world, champion, monkeypatch, read):
    version = world.register()
    found, outages = getattr(Registry, read), []

    def fail_once(registry, number, *arguments):
        if number == version.version and not outages:
            outages.append(number)
            raise RegistryError("MLflow is away")
        return found(registry, number, *arguments)

    request = ask(world.registry, "release", version)
    monkeypatch.setattr(Registry, read, fail_once)
    assert world.answer(request).is_success
    assert outages == [version.version]
    world.settle()


def test_a_request_that_was_replaced_before_it_was_begun_is_not_waited_for(world, champion, monkeypatch):
    replaced = ask(world.registry, "release", champion)
    began = threading.Event()
    read = wait.read_status

    def read_and_tell(home):
        began.set()
        return read(home)

    monkeypatch.setattr(wait, "read_status", read_and_tell)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait.wait_for_release, world.settings.home, replaced, print, timeout_s=TIMEOUT_S)
        assert began.wait(TIMEOUT_S)
        newer = ask(world.registry, "release", world.register())
        assert world.answer(newer).is_success
        with pytest.raises(ReleaseError, match=f"superseded by request {newer} of Ada"):
            waiting.result(TIMEOUT_S)
    world.settle()


def test_a_release_of_a_version_that_is_not_there_fails_at_once(world, champion):
    unknown = dataclasses.replace(champion, version=champion.version + 1_000)
    outcome = world.release(unknown)
    assert not outcome.is_success
    assert f"has no version {unknown.version}" in outcome.reason


def test_a_failed_release_is_not_tried_again_where_the_state_file_was_lost(world, champion):
    version = world.register()
    corrupt(world, version)
    assert not world.release(version).is_success
    world.stop()
    status_path(world.settings.home).unlink()
    world.start()
    world.tick_until(lambda: world.status["release"], "the release")
    assert (world.status["release"]["phase"], world.status["release"]["version"]) == ("failed", version.version)
    world.settle()
    assert world.predict().headers["x-evergreen-version"] == str(champion.version)


def test_a_controller_that_lost_its_lease_does_nothing_more(world, champion):
    token = world.settings.home / "controller" / TOKEN
    token.write_text(f"{world.lease.token + 1}\n")
    with pytest.raises(LeaseError, match="lost"):
        world.controller.tick()
    world.restart()
    world.settle()


def test_the_disk_is_full_nothing_is_done_that_is_not_written(world, champion, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    version = world.register()
    request = ask(world.registry, "release", version)
    with monkeypatch.context() as patch:
        patch.setattr("tasks.rollout.status.write_json", full)
        patch.setattr(Actor, "act", lambda *_: pytest.fail("acted on a state that is not on the disk"))
        assert world.controller.tick() is False
    assert world.answer(request).is_success
    world.settle()
