"""The router's files: written aside and renamed, read back from disk, and confirmed by the running Envoy."""

import contextlib
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import httpx

from serving.bundle.durable import read_json, write_json
from tasks.errors import ReleaseError
from tasks.rollout import envoy
from tasks.rollout.lease import LeaseError
from tasks.rollout.route import Route
from tasks.settings import Settings

CLUSTERS = "clusters.json"
ROUTES = "routes.json"

_ADMIN_TIMEOUT_S = 2.0
_POLL_S = 0.01
_CLUSTERS_STAT = "cluster_manager.cds.version_text"
_ROUTES_STAT = f"http.{envoy.STAT_PREFIX}.rds.{envoy.ROUTE_NAME}.version_text"


class Router:
    """The files in `folder`, which Envoy watches, and Envoy's admin address on loopback.

    `max_body_bytes` is the largest request that is kept for a retry.
    """

    def __init__(self, folder: Path, *, admin_port: int, max_body_bytes: int) -> None:
        self.folder = folder
        self._max_body_bytes = max_body_bytes
        self._admin = httpx.Client(base_url=f"http://127.0.0.1:{admin_port}", timeout=_ADMIN_TIMEOUT_S, trust_env=False)

    def current(self) -> Route:
        """Return the route on disk; without one, the empty route.

        Raises:
            ReleaseError: the file cannot be read.
        """
        file = self._read(ROUTES)
        return Route() if file is None else envoy.read_route(file)

    def token(self) -> int:
        """Return the lease token of whoever wrote the files last; 0 where nobody did."""
        files = [self._read(name) for name in (CLUSTERS, ROUTES)]
        return max((int(file["version_info"].split("-")[0]) for file in files if file), default=0)

    def is_live(self) -> bool:
        """Whether Envoy runs and serves what is on disk."""
        with contextlib.suppress(httpx.HTTPError):
            return self._served() == self._written()
        return False

    def prepare(self) -> None:
        """Write the empty route where there is none: Envoy starts only on files that exist.

        Raises:
            ReleaseError: a file cannot be read.
        """
        if self._read(CLUSTERS) is None or self._read(ROUTES) is None:
            self._write(CLUSTERS, envoy.render_clusters((), (), ""), self.token())
            self._write(ROUTES, envoy.render_routes(Route(), "", max_body_bytes=self._max_body_bytes), self.token())

    def set_route(self, route: Route, *, token: int, timeout_s: float) -> None:
        """Send traffic along `route`: its clusters first, and the routes when Envoy has them.

        The clusters of the route before stay until the next change, for requests in flight. Where Envoy
        does not run the files are written all the same: it reads them when it starts.

        Raises:
            LeaseError: a controller with a higher token wrote before.
            ReleaseError: Envoy runs and did not take the files within `timeout_s`.
        """
        if self.token() > token:
            raise LeaseError(f"the router was written with token {self.token()}; this controller has {token}")
        before = self.current()
        shares = (*route.shares, *before.shares)
        clusters = envoy.render_clusters((*route.targets, *before.targets), shares, "")
        self._write(CLUSTERS, clusters, token)
        is_running = self.is_running()
        if is_running:
            self.wait_applied(timeout_s)
        self._write(ROUTES, envoy.render_routes(route, "", max_body_bytes=self._max_body_bytes), token)
        if is_running:
            self.wait_applied(timeout_s)

    def is_running(self) -> bool:
        """Whether Envoy's admin answers."""
        with contextlib.suppress(httpx.HTTPError):
            return self._admin.get("/ready").status_code == httpx.codes.OK
        return False

    def wait_applied(self, timeout_s: float) -> None:
        """Return when Envoy serves the files on disk.

        Raises:
            ReleaseError: it does not within `timeout_s`, with what Envoy says about it.
        """
        deadline = time.monotonic() + timeout_s
        while not self.is_live():
            if time.monotonic() > deadline:
                raise ReleaseError(
                    f"the router did not take {self.folder} within {timeout_s:g} s: it serves {self._describe()}, "
                    f"the files are {self._written()}"
                )
            time.sleep(_POLL_S)

    def _describe(self) -> str:
        """Return what Envoy serves, and how many files it has refused since it started."""
        try:
            refused = sum(int(value) for value in self._stats("update_rejected", "Counters").values())
            note = f" and has refused {refused} files, its log says why" if refused else ""
            return f"{self._served()}{note}"
        except httpx.HTTPError as error:
            return f"nothing ({type(error).__name__} at {self._admin.base_url})"

    def _served(self) -> dict[str, str]:
        """Return the version_info of clusters and routes that Envoy took."""
        found = self._stats("version_text", "TextReadouts")
        return {CLUSTERS: found.get(_CLUSTERS_STAT, ""), ROUTES: found.get(_ROUTES_STAT, "")}

    def _stats(self, name: str, kind: str) -> dict[str, str]:
        """Return Envoy's statistics of a kind whose names hold `name`."""
        answer = self._admin.get("/stats", params={"filter": name, "type": kind, "format": "json"})
        return {stat["name"]: stat["value"] for stat in answer.raise_for_status().json()["stats"] if "name" in stat}

    def _written(self) -> dict[str, str]:
        """Return the version_info of clusters and routes on disk."""
        return {name: (self._read(name) or {}).get("version_info", "") for name in (CLUSTERS, ROUTES)}

    def _write(self, name: str, values: dict[str, Any], token: int) -> None:
        content = json.dumps(values["resources"], sort_keys=True)
        version_info = f"{token}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
        write_json(self.folder / name, {**values, "version_info": version_info})

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return read_json(self.folder / name)
        except ValueError as error:
            raise ReleaseError(f"{error}; remove it, and the controller writes it anew") from error


def local_router(settings: Settings) -> Router:
    """Return the router of the local stack."""
    return Router(
        settings.home / "router",
        admin_port=settings.stack.router_admin_port,
        max_body_bytes=settings.serving.max_body_bytes,
    )
