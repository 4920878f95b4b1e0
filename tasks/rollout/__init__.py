"""Rollout: the one controller that brings a version to traffic, keeps it alive and takes it back.

Data flows one way in each tick: what is asked and what is (`observe`) -> what to do (`decide`, `phases`,
`upkeep`: pure) -> doing it (`act`). Flows only write the desired version and wait (`wait`).
"""
