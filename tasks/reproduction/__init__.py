"""Reproduction: a registered version made again from its records, and compared bit for bit.

records.py         what was recorded of a version
contradictions.py  whether the records agree with each other
making.py          the version made again: what follows, in its order
worktree.py        the code: its commit and its uncommitted changes, in a temporary folder
packages.py        the dependencies: what is installed, and what the recorded lock says
environment.py     the recorded lock, installed for this one reproduction
order.py           what is asked of the recorded code, as JSON: code of different commits reads and writes it
launch.py          runs a module of that code, in a process of its own
facts.py           there: what the training depends on, before anything trains
restore.py         there: the data, each image looked at
remake.py          there: training, bundle, predictions
answers.py         what it answered, as compared facts
differences.py     pure: what differs, and what that means
predictions.py     pure: how far two models' answers are apart
evidence.py        pure: the record of all that was compared, and the verdict
page.py            pure: the evidence told
"""
