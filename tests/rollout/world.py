"""A project whose controller ticks when a test tells it to, with stub servers and a real registry."""

import shutil

import httpx

from tasks.registry.ledger import open_ledger
from tasks.registry.registry import Registry
from tasks.rollout.act import bundle_cache
from tasks.rollout.controller import Controller
from tasks.rollout.engines.process import ProcessEngine, instance_folder
from tasks.rollout.lease import Lease
from tasks.rollout.status import find_answer, read_status
from tests.rollout.registering import ask, bundle_of, register_like
from tests.rollout.running import stub_command, until


class World:
    """A project whose controller ticks when it is told to."""

    def __init__(self, settings, bundle):
        self.settings = settings
        self.bundle = bundle
        self.registry = Registry(settings.tracking_uri, settings.model.name)
        self.folder = settings.root
        self.lease = None
        self.controller = None
        self.start()

    def start(self):
        self.lease = Lease.acquire(self.settings.home / "controller")
        self.engine = ProcessEngine(instance_folder(self.settings.home), command=stub_command)
        self.controller = Controller(self.settings, self.lease, self.engine)

    def stop(self):
        """Leave everything as it is, as a SIGKILL does: the kernel closes what was open."""
        self.lease.release()
        for child in self.engine._children.values():
            child.stdin.close()
        self.controller = None

    def restart(self):
        self.stop()
        self.start()

    def register(self):
        """Register a new version and return it."""
        return register_like(self.registry, self.folder, self.bundle)

    @property
    def status(self):
        return read_status(self.settings.home)

    def tick_until(self, check, what):
        """Tick until `check` holds, and return what it returns."""

        def tick():
            self.controller.tick()
            return check()

        return until(tick, what=what)

    def answer(self, request):
        return self.tick_until(lambda: find_answer(self.status, request), f"an answer ({self.status})")

    def release(self, version):
        return self.answer(ask(self.registry, "release", version))

    def settle(self):
        """Tick until champion and previous are in the route and nothing else runs."""
        view = self.registry.view()
        wanted = [version for version in (view.champion, view.previous) if version is not None]

        def is_settled():
            route = [target["version"] for share in self.status["router"]["route"] for target in share["targets"]]
            running = sorted(server["version"] for server in self.status["instances"] if server["is_alive"])
            return route == wanted and running == sorted(wanted) and self.status["router"]["is_live"]

        self.tick_until(is_settled, f"a settled state ({self.status})")

    def predict(self):
        return httpx.post(f"{self.settings.router_url}/predict", content=b"x" * 784, trust_env=False)

    def outcomes(self):
        """Return the ledger's transitions as (action, version, outcome)."""
        entries = open_ledger(self.settings.home).read()
        return [(entry.action, entry.to_version, entry.outcome) for entry in entries if entry.phase == "done"]


def corrupt(world, version):
    (bundle_of(world.registry, version.version) / "model.pt").write_bytes(b"tampered")


def put(name):
    """Return a change that leaves the fetched bundle whole and makes the server misbehave."""

    def change(world, version):
        bundle = bundle_of(world.registry, version.version)
        kept = shutil.copytree(bundle, bundle_cache(world.settings.home) / version.digest)
        (kept / "golden" / name).touch()

    return change
