"""Stages follow aliases: whatever a crash left, `settle` makes every version's stage say what its aliases say."""

from tasks.registry.record import ModelVersion
from tasks.registry.registry import Registry
from tasks.registry.stages import STAGE_TAG, Stage


def settle(registry: Registry) -> None:
    """Make every version's stage and stage tag agree with the aliases; writes only what differs.

    Where another process has moved the champion meanwhile, what was written may be wrong already: then once more.
    """
    champion = registry.view().champion
    while True:
        for version in registry.versions():
            stage = stage_of(version)
            if (version.stage, version.tags.get(STAGE_TAG, Stage.NONE)) != (stage, stage):
                registry.set_stage(version.version, stage)
        after = registry.view().champion
        if after == champion:
            return
        champion = after


def stage_of(version: ModelVersion) -> Stage:
    """Return the stage that a version's aliases give it; one that has no alias any more is archived."""
    if "champion" in version.aliases:
        return Stage.PRODUCTION
    if "challenger" in version.aliases:
        return Stage.STAGING
    return Stage.NONE if version.stage is Stage.NONE and not version.aliases else Stage.ARCHIVED
