"""Where requests go: shares of traffic, each to the first of its servers that answers. Records, no behaviour."""

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Target:
    """A server of one version on a loopback port."""

    instance_id: str
    version: int
    port: int


@dataclass(frozen=True)
class Share:
    """An integer percent of the requests; the targets are tried in order."""

    weight_pct: int
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Route:
    """All shares; their weights sum to 100. Without a share there is no champion: the router answers 503."""

    shares: tuple[Share, ...] = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every server that may get a request, once each."""
        return tuple(dict.fromkeys(target for share in self.shares for target in share.targets))

    def holds(self, instance_id: str) -> bool:
        """Whether a server may get a request."""
        return any(target.instance_id == instance_id for target in self.targets)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the shares as JSON values."""
        return [
            {"weight_pct": share.weight_pct, "targets": [vars(target) for target in share.targets]}
            for share in self.shares
        ]

    @classmethod
    def from_json(cls, values: list[dict[str, Any]]) -> Self:
        """Return the route that `to_json` wrote; numbers may have become floats on the way."""
        return cls(
            tuple(
                Share(
                    int(share["weight_pct"]),
                    tuple(Target(t["instance_id"], int(t["version"]), int(t["port"])) for t in share["targets"]),
                )
                for share in values
            )
        )
