"""Steps: what was made once from the same things is not made again.

    key.py         a step's key: every fact that its result depends on, by name
    training.py    the key of a training
    evaluation.py  the keys of an evaluation and of a whole retraining
    store.py       the folders of finished and half-done steps in EVERGREEN_HOME
    lock.py        one process at a time in a step's folder

It knows no MLflow, no Prefect and no evaluation: a key names modules, it does not import them.
"""
