"""Doing: each action of a decision, once. What comes of it is seen at the next look, or returned as a finding."""

import logging
from pathlib import Path

import httpx

from serving.bundle.contract import BundleError
from tasks.errors import ConfigError, ReleaseError
from tasks.evaluation.gates import Verdict
from tasks.registry import transitions
from tasks.registry.bundle_cache import cached_folder, is_intact
from tasks.registry.ledger import open_ledger
from tasks.registry.record import NotRegisteredError, UnusableBundleError
from tasks.registry.registry import Registry
from tasks.rollout.engines.process import ProcessEngine
from tasks.rollout.facts import (
    Action,
    CheckGolden,
    Finding,
    Promote,
    Reject,
    RetireInstance,
    RollBack,
    SetRoute,
    StartInstance,
)
from tasks.rollout.golden_check import check_server
from tasks.rollout.instances import Instance, ServerSpec
from tasks.rollout.lease import Lease
from tasks.rollout.router import Router
from tasks.settings import Settings

log = logging.getLogger(__name__)

_ROUTE_TIMEOUT_S = 5.0


def bundle_cache(home: Path) -> Path:
    """Return where the bundles that are served are kept, by digest."""
    return home / "bundles"


class Actor:
    """Carries out actions on engine, router and registry, in the name of a lease."""

    def __init__(
        self, settings: Settings, registry: Registry, engine: ProcessEngine, router: Router, lease: Lease
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._ledger = open_ledger(settings.home)
        self._engine = engine
        self._router = router
        self._lease = lease
        self._cache = bundle_cache(settings.home)

    def act(self, action: Action) -> Finding | None:
        """Carry out one action and return what an open release may learn from it.

        Raises:
            RegistryError: MLflow cannot be reached: the action is asked for again.
            ReleaseError: the router did not take a route.
            LeaseError: another controller has taken over; nothing was done.
        """
        self._lease.check()
        match action:
            case StartInstance():
                return self._start(action)
            case CheckGolden():
                return self._check_golden(action)
            case SetRoute():
                self._router.set_route(action.route, token=self._lease.token, timeout_s=_ROUTE_TIMEOUT_S)
            case RetireInstance():
                self._engine.stop(self._instance(action.instance_id), self._settings.release.drain_s)
            case Promote() | RollBack() | Reject():
                return self._move(action)
        return None

    def finish_open_transition(self) -> None:
        """Finish or undo what an earlier controller's end cut short in the registry.

        Raises:
            RegistryError: MLflow cannot be reached.
        """
        transition = transitions.finish_open_transition(self._registry, self._ledger)
        if transition is not None:
            log.info("%s", transition.note)

    def _start(self, action: StartInstance) -> Finding | None:
        try:
            bundle = self._fetch(action)
        except (NotRegisteredError, UnusableBundleError) as error:
            return Finding(Verdict.FAIL, str(error))
        serving = self._settings.serving
        spec = ServerSpec(
            bundle=bundle,
            digest=action.digest,
            model_name=self._settings.model.name,
            version=action.version,
            threads=serving.threads,
            max_batch=serving.max_batch,
            max_body_bytes=serving.max_body_bytes,
            drain_s=self._settings.release.drain_s,
        )
        instance = self._engine.start(spec)
        log.info("started a server", extra={"instance": instance.id, "version": instance.version, "log": instance.log})
        return None

    def _fetch(self, action: StartInstance) -> Path:
        """Return the bundle's folder: from the cache, which needs no MLflow, or else from the registry."""
        folder = cached_folder(self._cache, action.digest)
        if is_intact(folder, action.digest):
            return folder
        folder = self._registry.download_bundle(action.version, self._cache)
        if folder.name != action.digest:
            raise UnusableBundleError(
                f"version {action.version} is the bundle {folder.name} by now, not {action.digest}"
            )
        return folder

    def _check_golden(self, action: CheckGolden) -> Finding:
        instance = self._instance(action.instance_id)
        url = f"http://127.0.0.1:{instance.port}"
        try:
            count = check_server(url, self._cache / instance.digest, digest=instance.digest)
        except (ReleaseError, BundleError, httpx.HTTPError, OSError, ValueError) as error:
            return Finding(Verdict.FAIL, f"golden check of version {instance.version}: {error}; see {instance.log}")
        return Finding(Verdict.PASS, f"{count} golden answers are right")

    def _move(self, action: Promote | RollBack | Reject) -> Finding | None:
        """Change the registry; a refusal is a finding, an outage is raised."""
        try:
            match action:
                case Promote(version, who, why):
                    done = transitions.promote(self._registry, self._ledger, version, who=who, why=why)
                case RollBack(who, why):
                    done = transitions.roll_back(self._registry, self._ledger, who=who, why=why)
                case Reject(version, who, why):
                    done = transitions.reject(self._registry, self._ledger, version, who=who, why=why)
        except ConfigError as error:
            return Finding(Verdict.FAIL, str(error))
        log.info("%s", done.note)
        return Finding(Verdict.PASS, done.note)

    def _instance(self, instance_id: str) -> Instance:
        return next(instance for instance in self._engine.list() if instance.id == instance_id)
