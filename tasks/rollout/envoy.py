"""Envoy's configuration as JSON: a bootstrap, and the two files that change, clusters and routes.

Pure rendering; `tasks.rollout.router` writes the files. Each server is a cluster of its own and each
share an aggregate of them, named by content: a cluster is added or removed, never changed under a request.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from tasks.rollout.route import Route, Share, Target

ROUTE_NAME = "model"
STAT_PREFIX = "router"
NO_CHAMPION = "no model is in production yet: release one with `evergreen run`, or see `evergreen status`"

_TYPE = "type.googleapis.com/envoy"
_API = {"resource_api_version": "V3"}
_LOOPBACK = "127.0.0.1"
_HEADROOM = 1_000_000  # in effect no limit. Envoy's default of 3 retries at once lost 4,156 of 13,700 requests
_MAX_CONNECTIONS = 10_000
_REQUEST_TIMEOUT = "60s"
_IDLE_TIMEOUT = "30s"  # below the server's keep-alive of 75 s, so that the router closes idle connections first

# What lost no request while a server at 50 % was killed twice under 16 connections: the next target, at once.
_RETRY = {
    "retry_on": "connect-failure,refused-stream,reset",
    "num_retries": 3,
    "retry_priority": {
        "name": "envoy.retry_priorities.previous_priorities",
        "typed_config": {
            "@type": f"{_TYPE}.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
            "update_frequency": 1,
        },
    },
    "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.01s"},
}
# A request that is sent twice must mean the same as one: predictions and reads do, feedback does not.
_IDEMPOTENT: tuple[dict[str, Any], ...] = (
    {"path": "/predict"},
    {"safe_regex": {"regex": "/v2/models/[^/]+(/versions/[^/]+)?/infer"}},
    {"prefix": "/", "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]},
)


def render_bootstrap(folder: Path, *, host: str, port: int, admin_port: int) -> dict[str, Any]:
    """Return the configuration that Envoy starts with: it listens on `host`:`port`, its admin on loopback.

    `folder` is watched: a file that is renamed into it is read at once.
    """
    return {
        "node": {"id": "router", "cluster": "evergreen"},
        "admin": {"address": _address(_LOOPBACK, admin_port)},
        "overload_manager": {"resource_monitors": [_connection_limit()]},
        "dynamic_resources": {"cds_config": _watched(folder, "clusters.json")},
        "static_resources": {"listeners": [_listener(folder, host, port)]},
    }


def render_clusters(targets: tuple[Target, ...], shares: tuple[Share, ...], version_info: str) -> dict[str, Any]:
    """Return the clusters file: one cluster a server, one aggregate a share."""
    clusters = [_server_cluster(target) for target in dict.fromkeys(targets)]
    aggregates = [_aggregate_cluster(share) for share in shares]
    kind = f"{_TYPE}.config.cluster.v3.Cluster"
    unique = {cluster["name"]: {"@type": kind, **cluster} for cluster in [*clusters, *aggregates]}
    return {"version_info": version_info, "resources": list(unique.values())}


def render_routes(route: Route, version_info: str, *, max_body_bytes: int) -> dict[str, Any]:
    """Return the routes file; its metadata hold the route itself, for `tasks.rollout.router` to read back."""
    rules = [_no_champion()] if not route.shares else _forwarding_rules(route)
    configuration = {
        "@type": f"{_TYPE}.config.route.v3.RouteConfiguration",
        "name": ROUTE_NAME,
        "virtual_hosts": [
            {
                "name": ROUTE_NAME,
                "domains": ["*"],
                "request_body_buffer_limit": max_body_bytes,  # a request larger than this is not retried
                "metadata": {"filter_metadata": {"evergreen": {"shares": route.to_json()}}},
                "routes": rules,
            }
        ],
    }
    return {"version_info": version_info, "resources": [configuration]}


def read_route(routes_file: dict[str, Any]) -> Route:
    """Return the route that `render_routes` put into a routes file."""
    host = routes_file["resources"][0]["virtual_hosts"][0]
    return Route.from_json(host["metadata"]["filter_metadata"]["evergreen"]["shares"])


def _forwarding_rules(route: Route) -> list[dict[str, Any]]:
    weighted = {
        "clusters": [{"name": _share_name(share), "weight": share.weight_pct} for share in route.shares],
    }
    action = {"weighted_clusters": weighted, "timeout": _REQUEST_TIMEOUT}
    retried = [{"match": match, "route": {**action, "retry_policy": _RETRY}} for match in _IDEMPOTENT]
    return [*retried, {"match": {"prefix": "/"}, "route": action}]


def _no_champion() -> dict[str, Any]:
    body = json.dumps({"error": NO_CHAMPION})
    return {
        "match": {"prefix": "/"},
        "direct_response": {"status": 503, "body": {"inline_string": body}},
        "response_headers_to_add": [
            {
                "header": {"key": "content-type", "value": "application/json"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }


def _listener(folder: Path, host: str, port: int) -> dict[str, Any]:
    manager = {
        "@type": f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": STAT_PREFIX,
        "rds": {"route_config_name": ROUTE_NAME, "config_source": _watched(folder, "routes.json")},
        "preserve_external_request_id": True,  # a caller's x-request-id names the prediction in every log
        "server_header_transformation": "PASS_THROUGH",
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {"name": "public", "address": _address(host, port), "filter_chains": [{"filters": filters}]}


def _server_cluster(target: Target) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(_LOOPBACK, target.port)}}
    protocol = f"{_TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": _target_name(target),
        "alt_stat_name": f"version_{target.version}",  # counted per version, whichever server answered
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": _circuit_breakers(),
        "load_assignment": {
            "cluster_name": _target_name(target),
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": protocol,
                "common_http_protocol_options": {"idle_timeout": _IDLE_TIMEOUT},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def _aggregate_cluster(share: Share) -> dict[str, Any]:
    return {
        "name": _share_name(share),
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": _circuit_breakers(),
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": f"{_TYPE}.extensions.clusters.aggregate.v3.ClusterConfig",
                "clusters": [_target_name(target) for target in share.targets],
            },
        },
    }


def _target_name(target: Target) -> str:
    return f"server-{target.instance_id}-{target.port}"


def _share_name(share: Share) -> str:
    names = "+".join(_target_name(target) for target in share.targets)
    return f"share-{hashlib.sha256(names.encode()).hexdigest()[:12]}"


def _circuit_breakers() -> dict[str, Any]:
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {"thresholds": [dict.fromkeys(limits, _HEADROOM)]}


def _connection_limit() -> dict[str, Any]:
    kind = f"{_TYPE}.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    return {
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {"@type": kind, "max_active_downstream_connections": _MAX_CONNECTIONS},
    }


def _watched(folder: Path, name: str) -> dict[str, Any]:
    source = {"path": str(folder / name), "watched_directory": {"path": str(folder)}}
    return {**_API, "path_config_source": source}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
