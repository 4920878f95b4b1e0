"""`python -m tests.rollout.killed_controller PHASE`: a controller that is killed as soon as PHASE is on the disk."""

import os
import signal
import sys

from tasks.rollout.__main__ import main
from tasks.rollout.journal import Journal


def die_in(phase):
    adopt = Journal.adopt

    def adopt_and_die(journal, state):
        adopt(journal, state)
        if state.phase == phase:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.adopt = adopt_and_die


if __name__ == "__main__":
    die_in(sys.argv[1])
    sys.exit(main())
