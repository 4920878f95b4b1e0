"""What Evergreen's training is compared with, each a process of its own: a textbook loop, Lightning, no determinism."""
