"""The registered model, checked with MLflow's own client."""

import socket
import time
import warnings

import pytest
from mlflow.entities import LoggedModelStatus

from tasks.errors import RegistryError
from tasks.registry.client import CLIENT_DEFAULTS
from tasks.registry.record import DIGEST_TAG, DesiredRelease, NotRegisteredError, RegistryView
from tasks.registry.registration import register
from tasks.registry.registry import Registry
from tasks.registry.stages import STAGE_TAG, Stage, set_stage
from tests.registry.crashing import CrashError, CrashingClient, Fuse

D1 = "1" * 64


@pytest.fixture
def models(client, experiment):
    """Make a logged model without files and return its address."""
    experiment_id = client.get_experiment_by_name(experiment).experiment_id

    def make():
        run = client.create_run(experiment_id)
        model = client.create_logged_model(experiment_id, "model", run.info.run_id)
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        return run.info.run_id, f"models:/{model.model_id}"

    return make


def register_new(registry, models, digest=D1, verdict="pass"):
    run_id, source = models()
    return register(registry, run_id, source, digest=digest, verdict=verdict, tags={"evergreen.accuracy": "0.91"})


def test_before_the_first_registration_there_is_nothing(registry):
    assert registry.view() == RegistryView()
    assert registry.champion() is registry.challenger() is registry.previous() is registry.desired() is None
    assert registry.versions() == ()


def test_an_accepted_model_becomes_the_challenger_in_staging(registry, models, client):
    version = register_new(registry, models)
    found = client.get_model_version_by_alias(registry.model, "challenger")
    assert found.version == version.version == 1
    assert found.current_stage == found.tags[STAGE_TAG] == "Staging"
    assert (found.tags["evergreen.digest"], found.tags["evergreen.verdict"]) == (D1, "pass")
    assert found.tags["evergreen.run"] == found.run_id == version.run_id
    assert found.tags["evergreen.accuracy"] == "0.91"
    assert version == registry.challenger()
    assert (version.digest, version.stage, version.aliases) == (D1, Stage.STAGING, ("challenger",))


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_a_model_that_did_not_pass_is_kept_archived_with_its_verdict(registry, models, client, verdict):
    version = register_new(registry, models, verdict=verdict)
    found = client.get_model_version(registry.model, str(version.version))
    assert found.current_stage == found.tags[STAGE_TAG] == "Archived"
    assert found.tags["evergreen.verdict"] == verdict
    assert client.get_registered_model(registry.model).aliases == {}


def test_a_newer_challenger_takes_the_place_of_the_older(registry, models, client):
    first, second = register_new(registry, models), register_new(registry, models, digest="2" * 64)
    assert client.get_registered_model(registry.model).aliases == {"challenger": second.version}
    assert client.get_model_version(registry.model, str(first.version)).current_stage == "Archived"
    assert [version.version for version in registry.versions()] == [1, 2]
    assert registry.versions()[1].aliases == ("challenger",)


def test_registering_a_run_twice_returns_the_version_it_made(registry, models, client):
    run_id, source = models()
    wanted = {"digest": D1, "verdict": "pass", "tags": {"a": "1"}}
    first = register(registry, run_id, source, **wanted)
    assert register(registry, run_id, source, **wanted) == first
    assert len(client.search_model_versions(f"name = '{registry.model}'")) == 1


@pytest.mark.parametrize("verdict", ["pass", "fail"])
def test_a_registration_cut_short_after_any_write_is_completed_by_the_next(registry, models, client, verdict):
    """The runs are registered one after the other, the n-th cut short after its n-th write."""
    wanted = {"verdict": verdict, "tags": {"a": "1"}}
    register_new(registry, models, digest="0" * 64)
    limit, crashed = 0, True
    while crashed:
        limit += 1
        run_id, source = models()
        crashing = Registry(registry.address, registry.model, client=CrashingClient(registry.address, Fuse(limit)))
        try:
            register(crashing, run_id, source, digest=D1, **wanted)
            crashed = False
        except CrashError:
            register(registry, run_id, source, digest=D1, **wanted)
        found = {int(item.version): item for item in client.search_model_versions(f"name = '{registry.model}'")}
        challenger = limit + 1 if verdict == "pass" else 1
        assert sorted(found) == list(range(1, limit + 2))
        assert found[limit + 1].run_id == run_id
        assert client.get_registered_model(registry.model).aliases == {"challenger": challenger}
        for number, version in found.items():
            stage = "Staging" if number == challenger else "Archived"
            assert version.current_stage == version.tags[STAGE_TAG] == stage
    assert limit > 2


def test_missing_tags_are_repaired(registry, models, client):
    run_id, source = models()
    register(registry, run_id, source, digest=D1, verdict="pass", tags={})
    client.delete_model_version_tag(registry.model, "1", "evergreen.verdict")
    register(registry, run_id, source, digest=D1, verdict="pass", tags={"later": "yes"})
    tags = client.get_model_version(registry.model, "1").tags
    assert (tags["evergreen.verdict"], tags["later"]) == ("pass", "yes")


def test_registering_again_does_not_take_a_champion_down(registry, models, client):
    run_id, source = models()
    register(registry, run_id, source, digest=D1, verdict="pass", tags={})
    client.set_registered_model_alias(registry.model, "champion", "1")
    client.delete_registered_model_alias(registry.model, "challenger")
    registry.set_stage(1, Stage.PRODUCTION)
    version = register(registry, run_id, source, digest=D1, verdict="pass", tags={})
    assert (version.stage, version.aliases) == (Stage.PRODUCTION, ("champion",))


def test_two_processes_making_the_registered_model_at_once(registry, models, client, monkeypatch):
    """The other one makes it between our look and our write."""
    original = registry.client.create_model_version
    calls = []

    def look_then_lose_the_race(*arguments, **options):
        calls.append(arguments)
        try:
            return original(*arguments, **options)
        finally:
            if len(calls) == 1:
                client.create_registered_model(registry.model)

    monkeypatch.setattr(registry.client, "create_model_version", look_then_lose_the_race)
    assert register_new(registry, models).version == 1
    assert len(calls) == 2


def test_a_version_carries_the_digest_of_its_runs_lineage(registry, logged, digest):
    run_id, source = logged
    registry.client.set_tag(run_id, "evergreen.lineage_sha256", "5" * 64)
    version = register(registry, run_id, source, digest=digest, verdict="pass", tags={})
    assert version.tags["evergreen.lineage_sha256"] == "5" * 64


def test_a_source_that_is_no_logged_model_is_refused(registry):
    with pytest.raises(RegistryError, match="source 'runs:/x/model' is no logged model"):
        register(registry, "x", "runs:/x/model", digest="d", verdict="pass", tags={})


def test_a_version_that_does_not_exist(registry, models):
    register_new(registry, models)
    with pytest.raises(NotRegisteredError, match=f"{registry.model} has no version 7"):
        registry.version(7)


@pytest.mark.parametrize("text", ["", "d1", "/etc", "../" * 3, D1.replace("1", "A"), D1 + "\n", D1 + "1"])
def test_a_tag_that_is_no_digest_counts_as_none(registry, models, client, text):
    register_new(registry, models)
    client.set_model_version_tag(registry.model, "1", DIGEST_TAG, text)
    assert registry.version(1).digest == ""


def test_the_desired_release_is_a_tag_that_one_request_reads_with_the_aliases(registry, models, client):
    register_new(registry, models)
    desired = DesiredRelease("r1", "release", 1, D1, "mia", "gates passed", "2026-11-20T04:35:12+00:00")
    registry.ask(desired)
    assert "evergreen.desired" in client.get_registered_model(registry.model).tags
    assert registry.desired() == desired
    assert registry.view() == RegistryView(challenger=1, desired=desired)


def test_asking_for_a_release_of_a_model_that_is_not_there(registry):
    desired = DesiredRelease("r1", "rollback", None, None, "mia", "why", "2026-11-20T04:35:12+00:00")
    with pytest.raises(RegistryError, match=f"asking for a rollback of {registry.model}"):
        registry.ask(desired)


def test_the_release_state_is_one_tag_of_the_version(registry, models, client):
    register_new(registry, models)
    assert registry.read_release_state(1) is None
    registry.write_release_state(1, '{"phase": "booting"}')
    assert registry.read_release_state(1) == '{"phase": "booting"}'
    assert client.get_model_version(registry.model, "1").tags["evergreen.release_state"] == '{"phase": "booting"}'


@pytest.mark.parametrize("stage", list(Stage))
def test_a_stage_is_mlflows_own_and_a_tag_and_no_warning(registry, models, client, stage):
    register_new(registry, models)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        set_stage(client, registry.model, 1, stage)
    found = client.get_model_version(registry.model, "1")
    assert found.current_stage == found.tags[STAGE_TAG] == stage.value


@pytest.fixture
def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def default_limits(monkeypatch):
    for name in CLIENT_DEFAULTS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, CLIENT_DEFAULTS[name])


@pytest.mark.parametrize("read", ["champion", "previous", "versions"])
def test_an_outage_is_an_error_with_the_address_and_never_no_champion(read, closed_port, default_limits):
    address = f"http://127.0.0.1:{closed_port}"
    began = time.monotonic()
    with pytest.raises(RegistryError) as caught:
        getattr(Registry(address, "m"), read)()
    assert address in str(caught.value)
    assert "evergreen up" in str(caught.value)
    assert time.monotonic() - began < 30, "MLflow's own defaults take minutes"


def test_an_address_that_mlflow_does_not_know():
    with pytest.raises(RegistryError, match="MLflow at nonsense://x"):
        Registry("nonsense://x", "m").view()
