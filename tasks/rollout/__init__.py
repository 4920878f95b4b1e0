"""Rollout: the one controller that brings a version to traffic, keeps it alive and takes it back.

Each tick's data flows one way; flows only write the desired version to the registry and wait:

    observe.py     registry, servers, router -> facts
    decide.py      facts and the release's state -> the next state, and actions; pure
    phases.py      the state of a release, and how a verdict moves it; pure
    upkeep.py      facts -> who is in the route, which servers start and stop; pure
    journal.py     the next state -> disk and tag, before anything is done
    act.py         actions -> router, servers, registry
    controller.py  the loop over them, in the name of a lease (lease.py)
    wait.py        a flow's side: the answer to a request, from the state file (status.py)

Below them: engines/ (servers), router.py and envoy.py (traffic), golden_check.py (a server's answers).
It may import the stages to its left, `serving.bundle` and `serving.logs`; it knows no Prefect and no flow.
"""
