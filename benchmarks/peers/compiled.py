"""`python -m benchmarks.peers.compiled SPEC.json OUT/`: the shipped training, its network compiled by torch.compile.

Sealed as ever: the launcher's variables must be set.
"""

import sys
from typing import Any
from unittest import mock

from tasks.training import __main__ as entry
from tasks.training import trainer
from tasks.training.network import Classifier


def main(arguments: list[str]) -> int:
    """Train and return the exit code."""
    build = trainer.new_classifier

    def build_compiled(*values: Any) -> Classifier:
        classifier = build(*values)
        classifier.compile()
        return classifier

    with mock.patch.object(trainer, "new_classifier", build_compiled):
        return entry.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
